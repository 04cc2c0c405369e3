//! One immutable checked configuration for proxies: a map from [`ResourceKey`] to [`Resource`], each with its
//! digest, at a [`Version`]. One object of the operator is one resource; children name their parents, so that one
//! edit moves one small message. What a later build added is left out of the digest while it says nothing, so that
//! planes of two builds agree on what both understand. [`Delta`] is what separates two snapshots: `apply(diff(a, b)) == b`.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Definition, Digest, Era, Listing, MaxAnswer, Name, Reach, RelayPolicy, Sharing, Slug, Subject,
    Timeouts, Timestamp, TokenHash, Version,
};

/// Kinds of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceKind {
    /// [`GatewayResource`].
    Gateway,
    /// [`ServerResource`].
    Server,
    /// [`CatalogueResource`].
    Catalogue,
    /// [`TokenResource`].
    Token,
}

/// Which resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Its kind.
    pub kind: ResourceKind,
    /// Owner and id of the object it comes from.
    pub name: Name,
}

/// A resource with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of `resource`.
    pub digest: Digest,
    /// The content.
    pub resource: Arc<Resource>,
}

/// What proxies get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// See [`GatewayResource`].
    Gateway(GatewayResource),
    /// See [`ServerResource`].
    Server(ServerResource),
    /// See [`CatalogueResource`].
    Catalogue(CatalogueResource),
    /// See [`TokenResource`].
    Token(TokenResource),
}

/// A gateway, with its names resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayResource {
    /// For people, and the name the gateway gives itself.
    pub display_name: String,
    /// The operator's own instructions.
    pub instructions: String,
    /// Every tool that can be exposed, sorted by exposed name; grants narrow it.
    pub tools: Vec<ExposedTool>,
    /// Every prompt that can be exposed, sorted by exposed name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<ExposedPrompt>,
    /// The servers whose resources are offered, in binding order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Slug>,
    /// How the URIs of resources are shown.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uris: UriMode,
    /// What of its tools is listed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listing: Listing,
    /// The servers, in binding order.
    pub servers: Vec<Slug>,
    /// The longest that one call of a server through this gateway may take, where it is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts: BTreeMap<Slug, Duration>,
    /// Security fields that a proxy has to understand, else it denies this gateway.
    pub must_understand: Vec<String>,
}

/// One tool under the name clients see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedTool {
    /// Unique in the gateway, at most 64 characters of `A-Za-z0-9_.-` where we chose it.
    pub exposed: String,
    /// The server that has it, of the gateway's organization.
    pub server: Slug,
    /// That server's own name for it.
    pub original: String,
    /// Of the definition that may be served.
    pub digest: Digest,
    /// How it is shown and called, where that is not as the server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ToolShape>,
}

/// What a gateway changes about a tool, beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolShape {
    /// What agents are told of it, in place of the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Arguments that every call has, each as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<String, String>,
    /// Arguments that no call has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// The security field of a gateway that sets or hides arguments: a proxy that does not know it would let callers
/// choose them.
pub const SHAPED_ARGUMENTS: &str = "shaped_arguments";

/// Security fields of a gateway that this build obeys. A gateway that names another one is denied.
pub const UNDERSTOOD: [&str; 1] = [SHAPED_ARGUMENTS];

/// The first of these security fields that this build does not obey.
pub fn not_understood(must_understand: &[String]) -> Option<&str> {
    let mut fields = must_understand.iter().map(String::as_str);
    fields.find(|field| !UNDERSTOOD.contains(field))
}

/// The tool of a progressive gateway that finds its other tools.
pub const SEARCH_TOOLS: &str = "search_tools";

/// The tool of a progressive gateway that runs them.
pub const RUN_TOOL: &str = "run_tool";

/// Names that no server's tool can have in a progressive gateway.
pub const OWN_TOOLS: [&str; 2] = [SEARCH_TOOLS, RUN_TOOL];

/// One prompt under the name clients see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPrompt {
    /// Unique among the gateway's prompts, made as the names of tools are.
    pub exposed: String,
    /// The server that has it, of the gateway's organization.
    pub server: Slug,
    /// That server's own name for it.
    pub original: String,
    /// Of the definition that may be served.
    pub digest: Digest,
}

/// How a gateway shows the URIs of resources.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum UriMode {
    /// Under the server's id, so that those of two servers are never taken for one another.
    #[default]
    Prefixed,
    /// As the server has them.
    Through,
}

/// How to reach a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerResource {
    /// Absolute URL, as text: pure crates hand it on.
    pub url: String,
    /// What to present, by reference and revision; the value comes over `credential.v1`.
    pub credential: Option<CredentialRef>,
    /// The era, where known.
    pub era: Option<Era>,
    /// The version to speak, where known; else empty.
    pub protocol_version: String,
    /// Limits.
    pub timeouts: Timeouts,
    /// What it may ask of clients.
    #[serde(default, skip_serializing_if = "is_default")]
    pub relay: RelayPolicy,
    /// Who shares a session with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sharing: Sharing,
    /// How much it may answer in one message.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_answer: MaxAnswer,
}

/// A credential by reference. The revision changes with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CredentialRef {
    /// A credential of the same organization.
    pub id: Slug,
    /// Store revision of its last write.
    pub revision: u64,
}

/// What a server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueResource {
    /// Tools by the server's own names, in its order, as are the lists that follow.
    pub tools: Vec<Definition>,
    /// Prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Definition>,
    /// Resources that it lists; it may have more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Definition>,
    /// Templates of resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Definition>,
    /// The server's instructions to agents.
    pub instructions: String,
    /// Its capabilities, JSON.
    pub capabilities: String,
}

/// A bearer token that may call gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResource {
    /// Keyed hash to look it up by.
    pub hash: TokenHash,
    /// Whom it stands for.
    pub subject: Subject,
    /// Which gateways of its organization.
    pub gateways: Reach<Slug>,
    /// Which exposed tools.
    pub tools: Reach<String>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

/// One immutable configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stood.
    pub version: Version,
    /// Everything in it.
    pub entries: BTreeMap<ResourceKey, Entry>,
}

/// What turns one snapshot into another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// The version it leads to.
    pub version: Version,
    /// New or changed.
    pub puts: Vec<(ResourceKey, Entry)>,
    /// Gone.
    pub removes: Vec<ResourceKey>,
}

impl Entry {
    /// A resource with its digest computed.
    pub fn new(resource: Resource) -> Self {
        let digest = Digest::of(&resource);
        let resource = Arc::new(resource);
        Self { digest, resource }
    }
}

impl Snapshot {
    /// The digests it holds: what a proxy tells when it connects.
    pub fn digests(&self) -> BTreeMap<ResourceKey, Digest> {
        let pair = |(key, entry): (&ResourceKey, &Entry)| (key.clone(), entry.digest);
        self.entries.iter().map(pair).collect()
    }

    /// What a holder of `held` lacks.
    pub fn since(&self, held: &BTreeMap<ResourceKey, Digest>) -> Delta {
        let lacking = |(key, entry): &(&ResourceKey, &Entry)| held.get(*key) != Some(&entry.digest);
        let clone = |(key, entry): (&ResourceKey, &Entry)| (key.clone(), entry.clone());
        let gone = |key: &&ResourceKey| !self.entries.contains_key(*key);
        Delta {
            version: self.version,
            puts: self.entries.iter().filter(lacking).map(clone).collect(),
            removes: held.keys().filter(gone).cloned().collect(),
        }
    }

    /// This snapshot changed by `delta`.
    #[must_use]
    pub fn apply(&self, delta: &Delta) -> Self {
        let mut entries = self.entries.clone();
        for key in &delta.removes {
            entries.remove(key);
        }
        entries.extend(delta.puts.iter().cloned());
        let version = delta.version;
        Self { version, entries }
    }
}

impl Delta {
    /// Whether it changes nothing but the version.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty()
    }
}

impl ResourceKind {
    /// As in keys and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Catalogue => "catalogue",
            Self::Token => "token",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
