//! Where everything lies in the store. One object, one key; nothing outside this drawing is ours:
//!
//! ```text
//! /v1/desired/<org>/organization/<org>
//!            /<org>/gateway/<id>            what operators want: inputs of compile
//!            /<org>/server/<id>
//!            /<org>/credential/<id>
//!            /<org>/token/<id>
//! /v1/observed/catalogues/<org>/<server>    what was seen: an input of compile
//!             /proxies/<id>                 what was seen: never an input of compile
//! /v1/system/marker                         epoch; touched, and guarded, by every change of an input of compile
//!           /gateway-ids/<id>               claim: plain text, the organization that owns this gateway id
//!           /keys/<name>                    sealed keys of the deployment
//!           /join-tokens/<hash>             leave for one proxy to join
//!           /requests/<digest>              what a request id has done, for an hour
//! /v1/history/<number>                      who changed what, bounded; twenty digits, growing by one
//! ```

use std::{fmt, str::FromStr};

use toolgate_model::{Digest, Name, Slug};

#[cfg(test)]
mod tests;

/// Every key of ours starts with it.
pub const ROOT: &str = "/v1/";

/// What operators read and write, and what is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A tenant.
    Organization,
    /// An endpoint.
    Gateway,
    /// An MCP server.
    Server,
    /// What we present to a server.
    Credential,
    /// A bearer token towards us.
    Token,
    /// What a server was seen to offer.
    Catalogue,
    /// A data-plane process.
    Proxy,
}

/// A key, understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A tenant.
    Organization(Slug),
    /// An endpoint.
    Gateway(Name),
    /// An MCP server.
    Server(Name),
    /// What we present to a server.
    Credential(Name),
    /// A bearer token.
    Token(Name),
    /// What a server, named so, was seen to offer.
    Catalogue(Name),
    /// A data-plane process.
    Proxy(Slug),
    /// The epoch, and what every change guards.
    Marker,
    /// Which organization owns a gateway id.
    GatewayId(Slug),
    /// A sealed key of the deployment.
    SystemKey(Slug),
    /// Leave to join, by the hash of its secret.
    JoinToken(Digest),
    /// A proxy that was expelled.
    Expelled(Slug),
    /// What a request id has done, by a digest of author and id.
    Request(Digest),
    /// An entry of the version log, by its number.
    History(u64),
}

/// A key that is not in the drawing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key of this version of Toolgate")]
pub struct InvalidKey(String);

impl Kind {
    /// All kinds, in the order in which they depend on one another.
    pub const ALL: [Self; 7] = [
        Self::Organization,
        Self::Credential,
        Self::Server,
        Self::Catalogue,
        Self::Gateway,
        Self::Token,
        Self::Proxy,
    ];

    /// As in keys, logs and sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Credential => "credential",
            Self::Token => "token",
            Self::Catalogue => "catalogue",
            Self::Proxy => "proxy",
        }
    }

    /// Whether operators write it.
    pub fn is_desired(self) -> bool {
        match self {
            Self::Organization | Self::Gateway | Self::Server | Self::Credential | Self::Token => {
                true
            }
            Self::Catalogue | Self::Proxy => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Key {
    /// The kind, for what has one; bookkeeping of ours has none.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Organization(_) => Some(Kind::Organization),
            Self::Gateway(_) => Some(Kind::Gateway),
            Self::Server(_) => Some(Kind::Server),
            Self::Credential(_) => Some(Kind::Credential),
            Self::Token(_) => Some(Kind::Token),
            Self::Catalogue(_) => Some(Kind::Catalogue),
            Self::Proxy(_) => Some(Kind::Proxy),
            Self::Marker
            | Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::JoinToken(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// The organization it belongs to, if it belongs to one.
    pub fn org(&self) -> Option<&Slug> {
        match self {
            Self::Organization(org) => Some(org),
            Self::Gateway(name)
            | Self::Server(name)
            | Self::Credential(name)
            | Self::Token(name)
            | Self::Catalogue(name) => Some(&name.org),
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

    /// Whether operators write it.
    pub fn is_desired(&self) -> bool {
        self.kind().is_some_and(Kind::is_desired)
    }

    /// Whether every write of it moves the version. A catalogue does so only if what compile reads of it has changed,
    /// and then the marker is written with it.
    pub fn is_compiled(&self) -> bool {
        match self {
            Self::Marker | Self::GatewayId(_) => true,
            Self::Catalogue(_)
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

    /// For sentences: `gateway acme/tools`.
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
            | Self::Catalogue(name) => match self.kind() {
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(org) => write!(f, "/v1/desired/{org}/organization/{org}"),
            Self::Gateway(Name { org, id }) => write!(f, "/v1/desired/{org}/gateway/{id}"),
            Self::Server(Name { org, id }) => write!(f, "/v1/desired/{org}/server/{id}"),
            Self::Credential(Name { org, id }) => write!(f, "/v1/desired/{org}/credential/{id}"),
            Self::Token(Name { org, id }) => write!(f, "/v1/desired/{org}/token/{id}"),
            Self::Catalogue(Name { org, id }) => write!(f, "/v1/observed/catalogues/{org}/{id}"),
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

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        parse(text).ok_or_else(|| InvalidKey(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let parts: Vec<&str> = text.strip_prefix(ROOT)?.split('/').collect();
    let slug = |text: &str| text.parse::<Slug>().ok();
    let key = match parts.as_slice() {
        ["desired", org, "organization", id] if org == id => Key::Organization(slug(org)?),
        ["desired", org, kind, id] => {
            let name = Name::new(slug(org)?, slug(id)?);
            match *kind {
                "gateway" => Key::Gateway(name),
                "server" => Key::Server(name),
                "credential" => Key::Credential(name),
                "token" => Key::Token(name),
                _ => return None,
            }
        }
        ["observed", "catalogues", org, id] => Key::Catalogue(Name::new(slug(org)?, slug(id)?)),
        ["observed", "proxies", id] => Key::Proxy(slug(id)?),
        ["system", "marker"] => Key::Marker,
        ["system", "gateway-ids", id] => Key::GatewayId(slug(id)?),
        ["system", "keys", name] => Key::SystemKey(slug(name)?),
        ["system", "join-tokens", hash] => Key::JoinToken(from_hex(hash)?),
        ["system", "expelled", id] => Key::Expelled(slug(id)?),
        ["system", "requests", digest] => Key::Request(from_hex(digest)?),
        ["history", number] if number.len() == 20 => {
            let digits = number.bytes().all(|c| c.is_ascii_digit());
            Key::History(digits.then(|| number.parse().ok())??)
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
