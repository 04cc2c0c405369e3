//! Facts that a server reports about itself in its answer to `initialize` or `server/discover`.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use toolgate_mcp::{deceptive_text, definition::DefinitionKind, method};
use toolgate_model::text::truncated;

use crate::error::{ClientError, shorten};

/// Facts that a server reports about itself. Untrusted, and limited in size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Protocol version in use.
    pub version: String,
    /// Capabilities, a JSON object as received.
    pub capabilities: String,
    /// Name of the server software.
    pub server_name: String,
    /// Version of the server software.
    pub server_version: String,
    /// Instructions for agents.
    pub instructions: String,
    /// Members with characters that are invisible or deceive a reader, by their names in the protocol.
    pub deceptive_members: Vec<&'static str>,
}

/// Maximum size of instructions in bytes; longer ones are truncated.
pub const MAX_INSTRUCTIONS: usize = 8 * 1024;
/// Maximum size of capabilities in bytes.
pub const MAX_CAPABILITIES: usize = 16 * 1024;

#[derive(Deserialize)]
struct ServerImplementation {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult<'a> {
    protocol_version: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    server_info: Option<ServerImplementation>,
    instructions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoverResult<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    instructions: Option<String>,
    #[serde(rename = "_meta")]
    meta: Option<Value>,
}

impl ServerFacts {
    /// Parses the result of `initialize`.
    pub fn of_initialize(result: &[u8]) -> Result<Self, ClientError> {
        let read: InitializeResult<'_> = serde_json::from_slice(result).map_err(|_| {
            ClientError::Protocol("the server's answer to `initialize` is not valid".into())
        })?;
        Self::new(
            read.protocol_version,
            read.capabilities,
            read.server_info,
            read.instructions,
        )
    }

    /// Parses the result of `server/discover` into the supported versions and the facts.
    pub fn of_discover(result: &[u8]) -> Result<(Vec<String>, Self), ClientError> {
        let read: DiscoverResult<'_> = serde_json::from_slice(result).map_err(|_| {
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
        server: Option<ServerImplementation>,
        instructions: Option<String>,
    ) -> Result<Self, ClientError> {
        let capabilities = capabilities.map_or("{}", RawValue::get);
        if !capabilities.starts_with('{') || capabilities.len() > MAX_CAPABILITIES {
            let words = "the server's capabilities are not an object of reasonable size";
            return Err(ClientError::Protocol(words.into()));
        }
        let server = server.map(|server| (server.name, server.version));
        let (name, software) = server.unwrap_or_default();
        let (name, software) = (name.unwrap_or_default(), software.unwrap_or_default());
        let mut instructions = instructions.unwrap_or_default();
        let members = [
            ("serverInfo.name", &name),
            ("serverInfo.version", &software),
            ("instructions", &instructions),
        ];
        let deceptive_members = members
            .into_iter()
            .filter(|(_, text)| deceptive_text::contained_in(text))
            .map(|(member, _)| member)
            .collect();
        let kept = truncated(&instructions, MAX_INSTRUCTIONS).len();
        instructions.truncate(kept);
        Ok(Self {
            version,
            capabilities: capabilities.to_owned(),
            server_name: shorten(&name),
            server_version: shorten(&software),
            instructions,
            deceptive_members,
        })
    }

    /// Returns `true` if the server declares the capability `name`.
    pub fn declares(&self, name: &str) -> bool {
        self.capability(name).is_some()
    }

    /// Returns `true` if the server declares definitions of this kind.
    pub fn offers(&self, kind: DefinitionKind) -> bool {
        self.declares(kind.capability())
    }

    /// Returns `true` if the server declares definitions of any kind.
    pub fn offers_any(&self) -> bool {
        DefinitionKind::ALL.iter().any(|kind| self.offers(*kind))
    }

    /// Returns `true` if the server announces changes of its list of this kind.
    pub fn announces(&self, kind: DefinitionKind) -> bool {
        let declared = self.capability(kind.capability());
        declared.is_some_and(|it| it.get("listChanged") == Some(&Value::Bool(true)))
    }

    fn capability(&self, name: &str) -> Option<Value> {
        let mut all: Value = serde_json::from_str(&self.capabilities).ok()?;
        // `null` counts as absent.
        all.get_mut(name)
            .map(Value::take)
            .filter(|it| !it.is_null())
    }
}

#[cfg(test)]
mod tests;
