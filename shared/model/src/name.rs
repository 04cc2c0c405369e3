//! Names of objects. An id is a [`Slug`]; an object of an organization is identified by its [`ObjectName`].

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Id chosen by an operator: 1 to 40 characters of `a-z`, `0-9` and `-`, starting with a letter, not ending with `-`.
/// Can be used unescaped in a URL path, a tool prefix and a store key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Arc<str>);

/// Error of a text that is not a valid [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a valid id: use 1 to 40 of a-z, 0-9 and -, starting with a letter, not ending with -"
)]
pub struct InvalidSlug {
    given: String,
}

/// Name of an object of an organization.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Organization that owns the object.
    pub org: Slug,
    /// Id of the object, unique within its organization and kind.
    pub id: Slug,
}

impl Slug {
    /// Maximum length.
    pub const MAX: usize = 40;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(given: &str) -> Result<Self, InvalidSlug> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let valid = given.len() <= Self::MAX
            && given.bytes().all(allowed)
            && given.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
            && !given.ends_with('-');
        if valid {
            Ok(Self(given.into()))
        } else {
            let given = given.chars().take(64).collect();
            Err(InvalidSlug { given })
        }
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;

    fn try_from(given: String) -> Result<Self, InvalidSlug> {
        given.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.as_ref().to_owned()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl ObjectName {
    /// Creates the name of object `id` of organization `org`.
    pub fn new(org: Slug, id: Slug) -> Self {
        Self { org, id }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.id)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
