//! Full resource names: `organizations/acme`, `organizations/acme/gateways/tools`, `proxies/p1`. Each name has one
//! spelling; other spellings are rejected, never repaired.

use std::{fmt, str::FromStr};

use toolgate_model::{ObjectName, Slug};

/// Parsed resource name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceName {
    /// `organizations/<id>`
    Organization(Slug),
    /// `organizations/<org>/<collection>/<id>`
    Owned(ResourceCollection, ObjectName),
    /// `proxies/<id>`
    Proxy(Slug),
}

/// Collection of objects that belong to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceCollection {
    /// `gateways`
    Gateways,
    /// `servers`
    Servers,
    /// `credentials`
    Credentials,
    /// `tokens`
    Tokens,
    /// `catalogues`
    Catalogues,
}

/// Error of a text that is not the expected resource name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a resource name here: expected `{expected}`{because}")]
pub struct InvalidResourceName {
    given: String,
    expected: String,
    because: String,
}

impl ResourceCollection {
    /// All collections.
    pub const ALL: [Self; 5] = [
        Self::Gateways,
        Self::Servers,
        Self::Credentials,
        Self::Tokens,
        Self::Catalogues,
    ];

    /// Returns the collection as written in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateways => "gateways",
            Self::Servers => "servers",
            Self::Credentials => "credentials",
            Self::Tokens => "tokens",
            Self::Catalogues => "catalogues",
        }
    }

    /// Returns the full name of `name` in this collection.
    pub fn format(self, name: &ObjectName) -> String {
        format!("organizations/{}/{}/{}", name.org, self.as_str(), name.id)
    }

    /// Parses a full name in this collection into organization and id.
    pub fn parse(self, given: &str) -> Result<ObjectName, InvalidResourceName> {
        let expected = || format!("organizations/<organization>/{}/<id>", self.as_str());
        let mut parts = given.split('/');
        let shape = [parts.next(), parts.next(), parts.next(), parts.next()];
        if let ([Some("organizations"), Some(org), Some(collection), Some(id)], None) =
            (shape, parts.next())
            && collection == self.as_str()
        {
            let org = slug(given, &expected, org)?;
            return Ok(ObjectName::new(org, slug(given, &expected, id)?));
        }
        Err(InvalidResourceName::new(given, expected(), String::new()))
    }
}

impl FromStr for ResourceName {
    type Err = InvalidResourceName;

    fn from_str(given: &str) -> Result<Self, InvalidResourceName> {
        match given.split('/').collect::<Vec<_>>().as_slice() {
            ["organizations", _] => parse_organization(given).map(Self::Organization),
            ["proxies", _] => parse_proxy(given).map(Self::Proxy),
            ["organizations", _, within, _] => {
                let found = ResourceCollection::ALL
                    .into_iter()
                    .find(|c| c.as_str() == *within);
                let expected = "organizations/<organization>/gateways/<id>";
                let unknown = || InvalidResourceName::new(given, expected.into(), String::new());
                let collection = found.ok_or_else(unknown)?;
                Ok(Self::Owned(collection, collection.parse(given)?))
            }
            _ => Err(InvalidResourceName::new(
                given,
                "organizations/<organization>/<kind>/<id>".into(),
                String::new(),
            )),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(id) => write!(f, "organizations/{id}"),
            Self::Owned(collection, name) => f.write_str(&collection.format(name)),
            Self::Proxy(id) => write!(f, "proxies/{id}"),
        }
    }
}

/// Parses the full name of an organization.
pub fn parse_organization(given: &str) -> Result<Slug, InvalidResourceName> {
    single(given, "organizations")
}

/// Parses the full name of a proxy.
pub fn parse_proxy(given: &str) -> Result<Slug, InvalidResourceName> {
    single(given, "proxies")
}

/// Returns the full name of an organization, `organizations/<id>`.
pub fn organization(id: &Slug) -> String {
    format!("organizations/{id}")
}

/// Returns the full name of a proxy, `proxies/<id>`.
pub fn proxy(id: &Slug) -> String {
    format!("proxies/{id}")
}

fn single(given: &str, collection: &str) -> Result<Slug, InvalidResourceName> {
    let expected = || format!("{collection}/<id>");
    let id = given
        .strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'));
    match id {
        Some(id) if !id.contains('/') => slug(given, &expected, id),
        _ => Err(InvalidResourceName::new(given, expected(), String::new())),
    }
}

fn slug(given: &str, expected: &dyn Fn() -> String, id: &str) -> Result<Slug, InvalidResourceName> {
    id.parse()
        .map_err(|invalid| InvalidResourceName::new(given, expected(), format!(", and {invalid}")))
}

impl InvalidResourceName {
    fn new(given: &str, expected: String, because: String) -> Self {
        let given = given.chars().take(200).collect();
        Self {
            given,
            expected,
            because,
        }
    }
}

#[cfg(test)]
mod tests;
