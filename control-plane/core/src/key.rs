//! Keys of the store. Each object has one key; other keys are not used:
//!
//! ```text
//! /v1/desired/<org>/organization/<org>
//!            /<org>/gateway/<id>            written by operators: inputs of compile
//!            /<org>/server/<id>
//!            /<org>/credential/<id>
//!            /<org>/token/<id>
//! /v1/observed/catalogues/<org>/<server>    server definitions: an input of compile
//!             /proxies/<id>                 proxy status: never an input of compile
//! /v1/system/marker                         epoch; written and guarded by every change of a compile input
//!           /gateway-ids/<id>               claim, plain text: the organization that owns the gateway id
//!           /keys/<name>                    sealed deployment keys
//!           /join-tokens/<hash>             join tokens
//!           /expelled/<id>                  expelled proxies, until their last certificate has expired
//!           /requests/<digest>              results of request ids, kept for an hour
//! /v1/history/<number>                      version log, bounded; increasing number of twenty digits
//! ```

use std::{fmt, str::FromStr};

use toolgate_model::{Digest, ObjectName, Slug};

#[cfg(test)]
mod tests;

/// Common prefix of all keys.
pub const ROOT: &str = "/v1/";

/// Kinds of objects in the API: written by operators, or observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Tenant.
    Organization,
    /// MCP endpoint that clients connect to.
    Gateway,
    /// MCP server.
    Server,
    /// Credential that proxies present to a server.
    Credential,
    /// Bearer token of a Toolgate client.
    Token,
    /// Definitions that a server offers, as probed.
    Definitions,
    /// Data-plane process.
    Proxy,
}

/// Parsed key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// Tenant.
    Organization(Slug),
    /// MCP endpoint.
    Gateway(ObjectName),
    /// MCP server.
    Server(ObjectName),
    /// Credential that proxies present to a server.
    Credential(ObjectName),
    /// Bearer token.
    Token(ObjectName),
    /// Definitions of the server of this name.
    Definitions(ObjectName),
    /// Data-plane process.
    Proxy(Slug),
    /// Epoch marker, guarded by every change of a compile input.
    Marker,
    /// Claim of a gateway id by an organization.
    GatewayId(Slug),
    /// Sealed deployment key.
    SystemKey(Slug),
    /// Join token, by the hash of its secret.
    JoinToken(Digest),
    /// Expelled proxy.
    Expelled(Slug),
    /// Request record, by the digest of author and request id.
    Request(Digest),
    /// Entry of the version log, by its number.
    History(u64),
}

/// Error of a key outside the key layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key of this version of Toolgate")]
pub struct InvalidObjectKey(String);

impl ObjectKind {
    /// All kinds, ordered by dependency.
    pub const ALL: [Self; 7] = [
        Self::Organization,
        Self::Credential,
        Self::Server,
        Self::Definitions,
        Self::Gateway,
        Self::Token,
        Self::Proxy,
    ];

    /// Returns the name of the kind as used in keys, logs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Credential => "credential",
            Self::Token => "token",
            Self::Definitions => "catalogue",
            Self::Proxy => "proxy",
        }
    }

    /// Returns `true` if operators write objects of this kind.
    pub fn is_desired(self) -> bool {
        match self {
            Self::Organization | Self::Gateway | Self::Server | Self::Credential | Self::Token => {
                true
            }
            Self::Definitions | Self::Proxy => false,
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ObjectKey {
    /// Returns the kind; `None` for bookkeeping keys.
    pub fn kind(&self) -> Option<ObjectKind> {
        match self {
            Self::Organization(_) => Some(ObjectKind::Organization),
            Self::Gateway(_) => Some(ObjectKind::Gateway),
            Self::Server(_) => Some(ObjectKind::Server),
            Self::Credential(_) => Some(ObjectKind::Credential),
            Self::Token(_) => Some(ObjectKind::Token),
            Self::Definitions(_) => Some(ObjectKind::Definitions),
            Self::Proxy(_) => Some(ObjectKind::Proxy),
            Self::Marker
            | Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::JoinToken(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// Returns the owning organization, if any.
    pub fn org(&self) -> Option<&Slug> {
        match self {
            Self::Organization(org) => Some(org),
            Self::Gateway(name)
            | Self::Server(name)
            | Self::Credential(name)
            | Self::Token(name)
            | Self::Definitions(name) => Some(&name.org),
            Self::Proxy(_)
            | Self::Marker
            | Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::JoinToken(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// Returns `true` if operators write the object.
    pub fn is_desired(&self) -> bool {
        self.kind().is_some_and(ObjectKind::is_desired)
    }

    /// Returns `true` if every write of the key changes the version. A write of definitions changes it only if the
    /// compile input differs, in which case the marker is written in the same transaction.
    pub fn is_compiled(&self) -> bool {
        match self {
            Self::Marker | Self::GatewayId(_) => true,
            Self::Definitions(_)
            | Self::Proxy(_)
            | Self::SystemKey(_)
            | Self::JoinToken(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => false,
            Self::Organization(_)
            | Self::Gateway(_)
            | Self::Server(_)
            | Self::Credential(_)
            | Self::Token(_) => true,
        }
    }

    /// Returns the name for messages, e.g. `gateway acme/tools`.
    pub fn describe(&self) -> String {
        match self {
            Self::Organization(id) | Self::Proxy(id) => match self.kind() {
                Some(kind) => format!("{kind} {id}"),
                None => id.to_string(),
            },
            Self::Gateway(name)
            | Self::Server(name)
            | Self::Credential(name)
            | Self::Token(name)
            | Self::Definitions(name) => match self.kind() {
                Some(kind) => format!("{kind} {name}"),
                None => name.to_string(),
            },
            Self::Marker => "the version marker".to_owned(),
            Self::GatewayId(id) => format!("the gateway id {id}"),
            Self::SystemKey(name) => format!("the system key {name}"),
            Self::JoinToken(_) => "the join token".to_owned(),
            Self::Expelled(id) => format!("the expulsion of proxy {id}"),
            Self::Request(_) => "the request id".to_owned(),
            Self::History(number) => format!("entry {number} of the version log"),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(org) => write!(f, "/v1/desired/{org}/organization/{org}"),
            Self::Gateway(ObjectName { org, id }) => write!(f, "/v1/desired/{org}/gateway/{id}"),
            Self::Server(ObjectName { org, id }) => write!(f, "/v1/desired/{org}/server/{id}"),
            Self::Credential(ObjectName { org, id }) => {
                write!(f, "/v1/desired/{org}/credential/{id}")
            }
            Self::Token(ObjectName { org, id }) => write!(f, "/v1/desired/{org}/token/{id}"),
            Self::Definitions(ObjectName { org, id }) => {
                write!(f, "/v1/observed/catalogues/{org}/{id}")
            }
            Self::Proxy(id) => write!(f, "/v1/observed/proxies/{id}"),
            Self::Marker => f.write_str("/v1/system/marker"),
            Self::GatewayId(id) => write!(f, "/v1/system/gateway-ids/{id}"),
            Self::SystemKey(name) => write!(f, "/v1/system/keys/{name}"),
            Self::JoinToken(hash) => write!(f, "/v1/system/join-tokens/{}", hash.to_hex()),
            Self::Expelled(id) => write!(f, "/v1/system/expelled/{id}"),
            Self::Request(digest) => write!(f, "/v1/system/requests/{}", digest.to_hex()),
            Self::History(number) => write!(f, "/v1/history/{number:020}"),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        parse(text).ok_or_else(|| InvalidObjectKey(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<ObjectKey> {
    let parts: Vec<&str> = text.strip_prefix(ROOT)?.split('/').collect();
    let slug = |text: &str| text.parse::<Slug>().ok();
    let key = match parts.as_slice() {
        ["desired", org, "organization", id] if org == id => ObjectKey::Organization(slug(org)?),
        ["desired", org, kind, id] => {
            let name = ObjectName::new(slug(org)?, slug(id)?);
            match *kind {
                "gateway" => ObjectKey::Gateway(name),
                "server" => ObjectKey::Server(name),
                "credential" => ObjectKey::Credential(name),
                "token" => ObjectKey::Token(name),
                _ => return None,
            }
        }
        ["observed", "catalogues", org, id] => {
            ObjectKey::Definitions(ObjectName::new(slug(org)?, slug(id)?))
        }
        ["observed", "proxies", id] => ObjectKey::Proxy(slug(id)?),
        ["system", "marker"] => ObjectKey::Marker,
        ["system", "gateway-ids", id] => ObjectKey::GatewayId(slug(id)?),
        ["system", "keys", name] => ObjectKey::SystemKey(slug(name)?),
        ["system", "join-tokens", hash] => ObjectKey::JoinToken(from_hex(hash)?),
        ["system", "expelled", id] => ObjectKey::Expelled(slug(id)?),
        ["system", "requests", digest] => ObjectKey::Request(from_hex(digest)?),
        ["history", number] if number.len() == 20 => {
            let digits = number.bytes().all(|c| c.is_ascii_digit());
            ObjectKey::History(digits.then(|| number.parse().ok())??)
        }
        _ => return None,
    };
    Some(key)
}

fn from_hex(text: &str) -> Option<Digest> {
    let canonical = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if text.len() != 64 || !text.bytes().all(canonical) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let at = index * 2;
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Digest(bytes))
}
