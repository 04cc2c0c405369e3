//! Full resource names: `organizations/acme`, `organizations/acme/gateways/tools`, `proxies/p1`. Each name has one
//! spelling; other spellings are rejected, never repaired.

use std::{fmt, str::FromStr};

use toolgate_model::{KindObject, ObjectId as _, ObjectKind, Slug};

/// Resource name of an object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Organization that owns the object, for kinds in organizations.
    pub org: Option<Slug>,
    /// Id of the object.
    pub id: Slug,
}

/// Error of a text that is not the expected resource name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a resource name here: expected `{expected}`{because}")]
pub struct InvalidResourceName {
    given: String,
    expected: String,
    because: String,
}

/// Returns the full name of the object with this id.
pub fn format<K: KindObject>(id: &K::Id) -> String {
    ResourceName::of::<K>(id).to_string()
}

/// Parses the full name of an object of one kind.
pub fn parse<K: KindObject>(given: &str) -> Result<K::Id, InvalidResourceName> {
    let name = parse_kind(K::KIND, given)?;
    let unexpected = || InvalidResourceName::new(given, expected(K::KIND), String::new());
    K::Id::from_parts(name.org, name.id).ok_or_else(unexpected)
}

impl ResourceName {
    /// Returns the name of the object with this id.
    pub fn of<K: KindObject>(id: &K::Id) -> Self {
        let (org, id) = id.parts();
        Self {
            kind: K::KIND,
            org: org.cloned(),
            id: id.clone(),
        }
    }
}

impl FromStr for ResourceName {
    type Err = InvalidResourceName;

    fn from_str(given: &str) -> Result<Self, InvalidResourceName> {
        let parts: Vec<&str> = given.split('/').collect();
        let found = match parts.as_slice() {
            [collection, _] => find_kind(collection, false),
            ["organizations", _, collection, _] => find_kind(collection, true),
            _ => None,
        };
        let expected = "organizations/<organization>/<kind>/<id>";
        let unknown = || InvalidResourceName::new(given, expected.into(), String::new());
        parse_kind(found.ok_or_else(unknown)?, given)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(org) = &self.org {
            write!(f, "organizations/{org}/")?;
        }
        write!(f, "{}/{}", self.kind.collection(), self.id)
    }
}

fn find_kind(collection: &str, in_organization: bool) -> Option<ObjectKind> {
    let mut kinds = ObjectKind::ALL.iter().copied();
    kinds.find(|kind| {
        kind.collection() == collection && kind.is_in_organization() == in_organization
    })
}

/// Returns the form of the names of a kind.
fn expected(kind: ObjectKind) -> String {
    match kind.is_in_organization() {
        true => format!("organizations/<organization>/{}/<id>", kind.collection()),
        false => format!("{}/<id>", kind.collection()),
    }
}

fn parse_kind(kind: ObjectKind, given: &str) -> Result<ResourceName, InvalidResourceName> {
    let slug = |id: &str| -> Result<Slug, InvalidResourceName> {
        id.parse().map_err(|invalid| {
            InvalidResourceName::new(given, expected(kind), format!(", and {invalid}"))
        })
    };
    let parts: Vec<&str> = given.split('/').collect();
    let (org, collection, id) = match parts.as_slice() {
        ["organizations", org, collection, id] if kind.is_in_organization() => {
            (Some(*org), *collection, *id)
        }
        [collection, id] if !kind.is_in_organization() => (None, *collection, *id),
        _ => (None, "", ""),
    };
    if collection != kind.collection() {
        return Err(InvalidResourceName::new(
            given,
            expected(kind),
            String::new(),
        ));
    }
    Ok(ResourceName {
        kind,
        org: org.map(slug).transpose()?,
        id: slug(id)?,
    })
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
