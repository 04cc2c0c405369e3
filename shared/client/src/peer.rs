//! A server with which a conversation stands, of either era.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use toolgate_mcp::{definition::Kind, method};
use toolgate_model::Era;

use crate::{
    changes::Changes,
    conversation::Answered,
    error::{ClientError, shorten},
    legacy::LegacySession,
    listing::{self, Caps, Listing},
    modern::ModernPeer,
};

/// A server with which a conversation stands.
#[derive(Debug)]
pub enum Peer {
    /// With a session.
    Legacy(LegacySession),
    /// Without.
    Modern(ModernPeer),
}

/// What a server says about itself. Untrusted, and capped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// The version that is spoken with it.
    pub version: String,
    /// Its capabilities, a JSON object as received.
    pub capabilities: String,
    /// The name it gives itself.
    pub server_name: String,
    /// The version it gives itself.
    pub server_version: String,
    /// Its instructions to agents.
    pub instructions: String,
}

/// Bytes of instructions that are kept.
pub const MAX_INSTRUCTIONS: usize = 8 * 1024;
/// Bytes of capabilities that are kept.
pub const MAX_CAPABILITIES: usize = 16 * 1024;

#[derive(Deserialize)]
struct Implementation {
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'a> {
    protocol_version: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    server_info: Option<Implementation>,
    instructions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    instructions: Option<String>,
    #[serde(rename = "_meta")]
    meta: Option<Value>,
}

impl ServerFacts {
    /// From the result of `initialize`.
    pub fn of_initialize(result: &[u8]) -> Result<Self, ClientError> {
        let read: Initialized<'_> = serde_json::from_slice(result).map_err(|_| {
            ClientError::Protocol("the server's answer to `initialize` is not valid".into())
        })?;
        Self::new(
            read.protocol_version,
            read.capabilities,
            read.server_info,
            read.instructions,
        )
    }

    /// From the result of `server/discover`: the versions it supports, and the rest.
    pub fn of_discover(result: &[u8]) -> Result<(Vec<String>, Self), ClientError> {
        let read: Discovered<'_> = serde_json::from_slice(result).map_err(|_| {
            ClientError::Protocol("the server's answer to `server/discover` is not valid".into())
        })?;
        let server = read
            .meta
            .and_then(|mut meta| meta.get_mut(method::META_SERVER).map(Value::take))
            .and_then(|info| serde_json::from_value(info).ok());
        let facts = Self::new(String::new(), read.capabilities, server, read.instructions)?;
        Ok((read.supported_versions, facts))
    }

    fn new(
        version: String,
        capabilities: Option<&RawValue>,
        server: Option<Implementation>,
        instructions: Option<String>,
    ) -> Result<Self, ClientError> {
        let capabilities = capabilities.map_or("{}", RawValue::get);
        if !capabilities.starts_with('{') || capabilities.len() > MAX_CAPABILITIES {
            let words = "the server's capabilities are not an object of reasonable size";
            return Err(ClientError::Protocol(words.into()));
        }
        let (name, software) = server.map_or_else(Default::default, |s| (s.name, s.version));
        let mut instructions = instructions.unwrap_or_default();
        while instructions.len() > MAX_INSTRUCTIONS {
            let fits = |at: &usize| instructions.is_char_boundary(*at);
            let end = (0..=MAX_INSTRUCTIONS).rev().find(fits);
            instructions.truncate(end.unwrap_or_default());
        }
        Ok(Self {
            version,
            capabilities: capabilities.to_owned(),
            server_name: shorten(&name),
            server_version: shorten(&software),
            instructions,
        })
    }

    /// Whether the server has declared the capability `name`.
    pub fn declares(&self, name: &str) -> bool {
        self.capability(name).is_some()
    }

    /// Whether the server has declared that it has any of this kind.
    pub fn offers(&self, kind: Kind) -> bool {
        self.declares(kind.capability())
    }

    /// Whether the server tells when its list of this kind changes.
    pub fn announces(&self, kind: Kind) -> bool {
        let declared = self.capability(kind.capability());
        declared.is_some_and(|it| it.get("listChanged") == Some(&Value::Bool(true)))
    }

    fn capability(&self, name: &str) -> Option<Value> {
        let mut all: Value = serde_json::from_str(&self.capabilities).ok()?;
        all.get_mut(name).map(Value::take)
    }
}

impl Peer {
    /// Its era.
    pub fn era(&self) -> Era {
        match self {
            Self::Legacy(_) => Era::Legacy,
            Self::Modern(_) => Era::Modern,
        }
    }

    /// What it says about itself.
    pub fn facts(&self) -> &ServerFacts {
        match self {
            Self::Legacy(session) => session.facts(),
            Self::Modern(peer) => peer.facts(),
        }
    }

    /// All of one kind, as far as `caps` allow. A server that has not declared it has none.
    pub async fn list(&self, kind: Kind, caps: &Caps) -> Result<Listing, ClientError> {
        if !self.facts().offers(kind) {
            return Ok(Listing::default());
        }
        match listing::collect(self, kind, caps).await {
            // Templates have no capability of their own: a server with resources may know nothing of them.
            Err(error) if kind == Kind::Template && error.is_unknown_method() => {
                Ok(Listing::default())
            }
            listing => listing,
        }
    }

    /// Its feed of changes; nothing if it has none.
    pub async fn changes(&self) -> Result<Option<Changes>, ClientError> {
        match self {
            Self::Legacy(session) => session.changes().await,
            Self::Modern(peer) => peer.changes().await,
        }
    }

    /// Says goodbye where the era has a way to. Failing at that is nobody's problem.
    pub async fn close(self) {
        if let Self::Legacy(session) = self {
            session.close().await;
        }
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<Answered, ClientError> {
        match self {
            Self::Legacy(session) => session.page(method, cursor).await,
            Self::Modern(peer) => peer.page(method, cursor).await,
        }
    }
}

#[cfg(test)]
mod tests;
