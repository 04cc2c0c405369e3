//! Immutable, validated configuration for proxies: a map from [`ResourceKey`] to [`SnapshotResource`], each with its
//! digest, at a [`Version`]. Each object of an operator is one resource, and children name their parents, so that an
//! edit sends one small message. Fields added by a later build are left out of the digest while they have their
//! default, so that planes of two builds agree on the fields both understand. A [`Delta`] is the difference between two
//! snapshots: `apply(diff(a, b)) == b`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    AllowList, CallTimeouts, Definition, Digest, EndpointList, Era, MaxAnswer, ObjectName,
    RateLimit, RelayPolicy, SessionSharing, Slug, Timestamp, TokenHash, TokenSubject, ToolListing,
    TrustedIssuer, Uid, Version,
};

mod entries;

pub use entries::SnapshotEntries;

/// Kind of a part of a snapshot. The kinds of the API are declared in `kind.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SnapshotResourceKind {
    /// [`GatewayResource`].
    Gateway,
    /// [`ServerResource`].
    Server,
    /// [`DefinitionsResource`].
    Catalogue,
    /// [`TokenResource`].
    Token,
}

/// Key of a resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Kind of the resource.
    pub kind: SnapshotResourceKind,
    /// Name of the object that the resource is made from.
    pub name: ObjectName,
}

/// Resource with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Digest of `resource` and of the identity of its object, by which two forms are compared.
    pub digest: Digest,
    /// Digest of `resource` without the identity, which builds that know no identities compute too.
    pub content: Digest,
    /// Content.
    pub resource: Arc<SnapshotResource>,
}

/// Resource sent to proxies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotResource {
    /// Gateway.
    Gateway(GatewayResource),
    /// Server.
    Server(ServerResource),
    /// Definitions offered by a server.
    Catalogue(DefinitionsResource),
    /// Bearer token.
    Token(TokenResource),
}

/// Gateway with resolved names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayResource {
    /// Identity of the gateway, which a gateway made later under the same name does not share. `None` if it is not known.
    /// Not part of the content, so that builds without it compute the same digest.
    #[serde(skip)]
    pub uid: Option<Uid>,
    /// Display name, also used as the name of the gateway in the protocol.
    pub display_name: String,
    /// Instructions written by the operator.
    pub instructions: String,
    /// All tools that can be exposed, sorted by exposed name. Tokens restrict them further.
    pub tools: Vec<ExposedTool>,
    /// All prompts that can be exposed, sorted by exposed name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<ExposedPrompt>,
    /// Servers whose resources are exposed, in binding order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Slug>,
    /// Form of the exposed resource URIs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uris: UriMode,
    /// Tools shown in the list.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listing: ToolListing,
    /// Bound servers, in binding order.
    pub servers: Vec<Slug>,
    /// Maximum duration of one call to a server through this gateway, where configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts: BTreeMap<Slug, Duration>,
    /// Limits of the rate of requests to the gateway and of calls through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<ScopedRateLimit>,
    /// Identity providers whose callers are admitted. A proxy of an earlier build keeps the last form of the gateway that it
    /// understands, and admits none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_providers: Vec<TrustedIssuer>,
    /// Features that a proxy has to support to serve the gateway as it is meant. A proxy that does not know one of them denies
    /// the gateway.
    pub must_understand: Vec<String>,
}

impl GatewayResource {
    /// Returns the placeholder of a gateway whose record in the store cannot be read. All its requests are denied.
    pub fn unreadable() -> Self {
        Self {
            must_understand: vec![UNREADABLE_RECORD.to_owned()],
            ..Self::default()
        }
    }

    /// Returns the placeholder of a gateway that requires `feature`, which this build does not support. All its requests are
    /// denied.
    pub fn denied(feature: String, uid: Option<Uid>) -> Self {
        Self {
            uid,
            must_understand: vec![feature],
            ..Self::default()
        }
    }

    /// Returns `true` if this is the placeholder of a gateway whose record cannot be read.
    pub fn is_unreadable(&self) -> bool {
        self.must_understand
            .iter()
            .any(|feature| feature == UNREADABLE_RECORD)
    }
}

/// Rate limit with the requests that it applies to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopedRateLimit {
    /// Requests that count.
    pub scope: RateLimitScope,
    /// Limit of these requests.
    pub limit: RateLimit,
}

/// Requests that a rate limit applies to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RateLimitScope {
    /// Requests to all gateways of the organization.
    Organization,
    /// Requests to the gateway.
    Gateway,
    /// Calls to this server through any gateway.
    Server(Slug),
    /// Calls to this server through the gateway.
    Binding(Slug),
}

/// Tool under its exposed name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedTool {
    /// Exposed name, unique in the gateway. Generated names have at most 64 characters of `A-Za-z0-9_.-`.
    pub exposed: String,
    /// Server of the gateway's organization that offers the tool.
    pub server: Slug,
    /// Name used by the server.
    pub original: String,
    /// Digest of the definition that may be served.
    pub digest: Digest,
    /// Changes to the presentation and the arguments. `None` if the tool is exposed unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ToolShape>,
}

/// Changes of a gateway to a tool, apart from its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolShape {
    /// Description for agents, instead of the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Arguments set on every call, each as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<String, String>,
    /// Arguments that no call contains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// Feature of a gateway that sets or hides arguments. A proxy without it would let callers choose them.
pub const SHAPED_ARGUMENTS: &str = "shaped_arguments";

/// Feature of a gateway with rate limits. A proxy without it would not limit.
pub const RATE_LIMITS: &str = "rate_limits";

/// Feature of the placeholder of a gateway whose record in the store cannot be read: the refusal says so. It marks the
/// placeholder, so that a proxy without the feature denies the gateway as well.
pub const UNREADABLE_RECORD: &str = "unreadable_record";

/// Features that this build supports. A gateway that requires any other feature is denied.
pub const SUPPORTED_FEATURES: [&str; 3] = [SHAPED_ARGUMENTS, RATE_LIMITS, UNREADABLE_RECORD];

/// Returns the first of these features that this build does not support.
pub fn unsupported_feature(must_understand: &[String]) -> Option<&str> {
    let mut features = must_understand.iter().map(String::as_str);
    features.find(|feature| !SUPPORTED_FEATURES.contains(feature))
}

/// Name of the tool of a progressive gateway that finds other tools.
pub const SEARCH_TOOLS: &str = "search_tools";

/// Name of the tool of a progressive gateway that calls other tools.
pub const RUN_TOOL: &str = "run_tool";

/// Tool names reserved in a progressive gateway. Tools of servers cannot use them.
pub const RESERVED_TOOL_NAMES: [&str; 2] = [SEARCH_TOOLS, RUN_TOOL];

/// Prompt under its exposed name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPrompt {
    /// Exposed name, unique among the prompts of the gateway. Generated in the same way as tool names.
    pub exposed: String,
    /// Server of the gateway's organization that offers the prompt.
    pub server: Slug,
    /// Name used by the server.
    pub original: String,
    /// Digest of the definition that may be served.
    pub digest: Digest,
}

/// Form of the resource URIs exposed by a gateway.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum UriMode {
    /// Prefixed with the server's id, so that URIs of two servers cannot collide.
    #[default]
    Prefixed,
    /// Unchanged.
    Through,
}

/// Connection parameters of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerResource {
    /// Endpoints of the server, in order of preference. Under the name that one URL had in earlier builds.
    #[serde(rename = "url")]
    pub endpoints: EndpointList,
    /// Credential by reference and revision. The value is sent over `credential.v1`.
    pub credential: Option<CredentialRef>,
    /// Protocol era, if known.
    pub era: Option<Era>,
    /// Protocol version to use; empty if not known.
    pub protocol_version: String,
    /// Version for legacy clients, if a modern server also speaks the legacy era; empty otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub legacy_version: String,
    /// Timeouts of a call.
    pub timeouts: CallTimeouts,
    /// Requests that the server may send to clients.
    #[serde(default, skip_serializing_if = "is_default")]
    pub relay: RelayPolicy,
    /// Sharing of sessions with the server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sharing: SessionSharing,
    /// Maximum size of one message from the server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_answer: MaxAnswer,
}

/// Reference to a credential. The revision changes with the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CredentialRef {
    /// Id of a credential of the same organization.
    pub id: Slug,
    /// Store revision of the last write.
    pub revision: u64,
    /// Principals that share the value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: CredentialScope,
}

/// Principals that share the value of a credential.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum CredentialScope {
    /// All principals: the value is resolved once.
    #[default]
    Shared,
    /// None: the value is resolved for each principal.
    PerPrincipal,
}

/// Definitions offered by a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionsResource {
    /// Tools by the names used by the server, in its order. The lists below use its order as well.
    pub tools: Vec<Definition>,
    /// Prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Definition>,
    /// Resources listed by the server. It may offer others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Definition>,
    /// Resource templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Definition>,
    /// Instructions of the server for agents.
    pub instructions: String,
    /// Capabilities, JSON.
    pub capabilities: String,
}

/// Bearer token that may call gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResource {
    /// Keyed hash used for the lookup.
    pub hash: TokenHash,
    /// Subject that the token represents.
    pub subject: TokenSubject,
    /// Gateways of its organization that the token may call.
    pub gateways: AllowList<Slug>,
    /// Exposed tools that the token may see and call.
    pub tools: AllowList<String>,
    /// Expiry time.
    pub expires: Option<Timestamp>,
    /// Limits of the rate of requests made with the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
}

/// Immutable configuration at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the configuration.
    pub version: Version,
    /// Resources by key.
    pub entries: SnapshotEntries,
}

/// Difference between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Version after the delta is applied.
    pub version: Version,
    /// New or changed resources.
    pub puts: Vec<(ResourceKey, SnapshotEntry)>,
    /// Keys of removed resources.
    pub removes: Vec<ResourceKey>,
}

impl SnapshotEntry {
    /// Creates an entry and computes its digests.
    pub fn new(resource: SnapshotResource) -> Self {
        let content = Digest::of(&resource);
        let digest = match resource.uid() {
            Some(uid) => Digest::of(&(content, uid)),
            None => content,
        };
        let resource = Arc::new(resource);
        Self {
            digest,
            content,
            resource,
        }
    }
}

impl SnapshotResource {
    fn uid(&self) -> Option<Uid> {
        match self {
            Self::Gateway(gateway) => gateway.uid,
            Self::Server(_) | Self::Catalogue(_) | Self::Token(_) => None,
        }
    }
}

impl Snapshot {
    /// Returns the digests of all resources, which a proxy sends when it connects.
    pub fn digests(&self) -> BTreeMap<ResourceKey, Digest> {
        let pair = |(key, entry): (&ResourceKey, &SnapshotEntry)| (key.clone(), entry.digest);
        self.entries.iter().map(pair).collect()
    }

    /// Returns the delta for a peer that holds the digests `held`.
    pub fn since(&self, held: &BTreeMap<ResourceKey, Digest>) -> Delta {
        let lacking =
            |(key, entry): &(&ResourceKey, &SnapshotEntry)| held.get(*key) != Some(&entry.digest);
        let clone = |(key, entry): (&ResourceKey, &SnapshotEntry)| (key.clone(), entry.clone());
        let is_removed = |key: &&ResourceKey| !self.entries.contains_key(key);
        Delta {
            version: self.version,
            puts: self.entries.iter().filter(lacking).map(clone).collect(),
            removes: held.keys().filter(is_removed).cloned().collect(),
        }
    }

    /// Returns the delta from `older` to this snapshot. If this one is derived from `older`, its cost is that of the
    /// writes between them.
    pub fn changes_from(&self, older: &Self) -> Delta {
        let differing: BTreeSet<&ResourceKey> = match self.entries.written_since(&older.entries) {
            Some(written) => written.collect(),
            None => self.entries.keys().chain(older.entries.keys()).collect(),
        };
        let mut delta = Delta {
            version: self.version,
            ..Delta::default()
        };
        for key in differing {
            match (self.entries.get(key), older.entries.get(key)) {
                (Some(entry), held) if held.is_none_or(|held| held.digest != entry.digest) => {
                    delta.puts.push((key.clone(), entry.clone()));
                }
                (None, Some(_)) => delta.removes.push(key.clone()),
                (Some(_), _) | (None, None) => {}
            }
        }
        delta
    }

    /// Returns this snapshot with `delta` applied.
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
    /// Returns `true` if the delta changes nothing but the version.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty()
    }
}

impl SnapshotResourceKind {
    /// Returns the name used in keys and messages.
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
