//! Desired state written by operators. Each kind is a struct whose fields hold validated values.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    AdmittedProvider, CredentialHosts, CredentialKind, ObjectName, ProtocolVersion, RateLimit,
    ServerSource, Slug, Timestamp, TokenHash, Uid,
};

/// Metadata common to all kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// Identity, assigned at creation and never used again. Nil in an object that is not stored yet.
    pub uid: Uid,
    /// Display name.
    pub display_name: String,
    /// Description.
    pub description: String,
    /// Labels for selection. Toolgate itself makes no decisions based on them.
    pub labels: BTreeMap<String, String>,
    /// Time of creation.
    pub created: Timestamp,
    /// Time of the last write.
    pub updated: Timestamp,
}

/// Tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Id of the organization.
    pub id: Slug,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Limits of the rate of requests to all gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
}

/// MCP endpoint offered to clients. Its id is unique in the deployment, because the URL path does not contain the
/// organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Naming of tools.
    pub prefix: PrefixMode,
    /// Tools shown to clients in the list.
    pub listing: ToolListing,
    /// Servers bound into the gateway, in the order in which their tools are listed.
    pub bindings: Vec<ServerBinding>,
    /// Instructions for agents, sent before the servers' own instructions. Empty for none.
    pub instructions: String,
    /// Limits of the rate of requests to the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Identity providers whose callers are admitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_providers: Vec<AdmittedProvider>,
}

/// Naming scheme for the tools of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixMode {
    /// `<server>__<tool>`.
    #[default]
    Always,
    /// Name used by the server. The gateway may bind one server only.
    Single,
    /// Name used by the server. A collision is a configuration error.
    Never,
}

/// Tools shown by `tools/list` of a gateway. Does not restrict the tools that may be called.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum ToolListing {
    /// All tools.
    #[default]
    All,
    /// Two tools of the gateway, [`SEARCH_TOOLS`](crate::snapshot::SEARCH_TOOLS) and
    /// [`RUN_TOOL`](crate::snapshot::RUN_TOOL), which find and call the other tools.
    Progressive,
}

/// Server bound into a gateway, and what the gateway exposes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerBinding {
    /// Server of the gateway's organization.
    pub server: Slug,
    /// Exposed tools.
    pub tools: BindingSelection,
    /// Exposed prompts.
    pub prompts: BindingSelection,
    /// True if all resources are exposed. There is no selection, because the resources that a resource links to are
    /// rarely known in advance.
    pub resources: bool,
    /// Changes to single tools, by the names used by the server. Tools not listed are exposed unchanged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, ToolShapeSpec>,
    /// Maximum duration of one call through this binding. The server's own limits apply as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Limits of the rate of calls through this binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
}

/// Changes to the presentation and the arguments of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolShapeSpec {
    /// Exposed name, instead of the generated name.
    pub alias: Option<String>,
    /// Description for agents, instead of the server's.
    pub description: Option<String>,
    /// Arguments set on every call, each as JSON. Clients neither see nor supply them.
    pub fixed: BTreeMap<String, String>,
    /// Arguments that clients neither see nor supply.
    pub hidden: Vec<String>,
}

/// Selection of tools or prompts of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindingSelection {
    /// Everything offered by the server, now and in the future.
    All,
    /// Only these, by the names used by the server.
    Only(Vec<String>),
}

/// MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Organization and id. The id is the prefix of the server's tools.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Endpoints at which the server answers.
    pub source: ServerSource,
    /// Credential presented to the server.
    pub credential: Option<Slug>,
    /// Protocol era to use.
    pub era: EraPolicy,
    /// Protocol version to speak; `None` negotiates one. It is of the era, if that is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<ProtocolVersion>,
    /// Timeouts of a call.
    pub timeouts: CallTimeouts,
    /// Behavior when the server changes a tool.
    pub drift: DriftPolicy,
    /// Requests that the server may send to clients.
    pub relay: RelayPolicy,
    /// Sharing of sessions with the server.
    pub sharing: SessionSharing,
    /// Maximum size of one message from the server.
    pub max_answer: MaxAnswer,
    /// Limits of the rate of calls to the server, through any gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
}

/// Requests that a server may send to the clients that call it. Capabilities that are off are not declared to the
/// server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelayPolicy {
    /// Elicitation requests to the user.
    pub elicitation: bool,
    /// Sampling requests to the client's model. They cost the client money and can be used to extract what the model
    /// knows.
    pub sampling: bool,
    /// Requests for the client's roots, which are paths on the user's machine.
    pub roots: bool,
}

/// Sharing of sessions with a legacy server.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum SessionSharing {
    /// Shared by all sessions of a principal.
    #[default]
    PerPrincipal,
    /// Not shared: one session for each client session.
    PerSession,
    /// Shared by all callers. For servers that keep no state between calls.
    Shared,
}

/// Protocol era to use with a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EraPolicy {
    /// Probe the server.
    #[default]
    Probe,
    /// Session-based (2025-11-25 and earlier).
    Legacy,
    /// Stateless (2026-07-28).
    Modern,
}

/// Behavior when a server changes a tool definition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftPolicy {
    /// Serve the new definition.
    #[default]
    Follow,
    /// Serve the approved definition.
    Pin,
    /// Stop serving the tool.
    Block,
}

/// Maximum size of one message from a server, either a document or an event of a stream: whole mebibytes from one to
/// [`MAX_MEBIBYTES`](Self::MAX_MEBIBYTES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxAnswer(u8);

/// Timeouts of one call to a server. Progress resets `idle` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTimeouts {
    /// Maximum time to establish a connection.
    pub connect: Duration,
    /// Maximum time until the first byte of the response.
    pub first_byte: Duration,
    /// Maximum time between two bytes of a streamed response.
    pub idle: Duration,
    /// Maximum duration of the whole call.
    pub total: Duration,
}

/// Credential presented to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Origins that the value may be sent to.
    pub hosts: CredentialHosts,
    /// Kind of the credential, with its values.
    pub kind: CredentialKind,
}

/// Bearer token. Only its keyed hash is stored, not the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Subject that the token represents.
    pub scope: TokenScope,
    /// Gateways that the token may call.
    pub gateways: AllowList<Slug>,
    /// Identities of the listed gateways at the time when each was listed. A gateway made later under the name of a
    /// deleted one is another gateway.
    pub gateway_uids: BTreeMap<Slug, Uid>,
    /// Tools that the token may see and call, by exposed name.
    pub tools: AllowList<String>,
    /// Expiry time.
    pub expires: Option<Timestamp>,
    /// Role at the admin API.
    pub role: AdminRole,
    /// Limits of the rate of requests made with the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Keyed hash of the token.
    pub hash: TokenHash,
    /// Time of revocation.
    pub revoked: Option<Timestamp>,
    /// First characters of the token, for identification.
    pub hint: String,
    /// True for the deployment's bootstrap token. Its role applies to all organizations.
    pub system: bool,
}

/// Subject that a token represents.
pub type TokenScope = crate::TokenSubject;

/// Set of allowed items, or all items.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AllowList<T> {
    /// All items, now and in the future.
    All,
    /// Only these items, sorted and without duplicates.
    Only(Vec<T>),
}

/// Role of a token at the admin API. Roles are ordered: each includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminRole {
    /// No access.
    #[default]
    None,
    /// Read access.
    Viewer,
    /// Also write access to gateways and servers.
    Editor,
    /// Also write access to credentials, tokens and the organization.
    Admin,
}

impl MaxAnswer {
    /// Largest allowed value in mebibytes.
    pub const MAX_MEBIBYTES: u32 = 64;

    /// Creates a limit of `mebibytes`. Returns `None` if the value is zero or too large.
    pub fn new(mebibytes: u32) -> Option<Self> {
        let narrow = u8::try_from(mebibytes).ok();
        narrow
            .filter(|_| (1..=Self::MAX_MEBIBYTES).contains(&mebibytes))
            .map(Self)
    }

    /// Returns the limit in mebibytes.
    pub fn mebibytes(self) -> u32 {
        self.0.into()
    }

    /// Returns the limit in bytes.
    pub fn bytes(self) -> usize {
        usize::from(self.0) * 1024 * 1024
    }
}

impl Default for MaxAnswer {
    fn default() -> Self {
        Self(4)
    }
}

impl TryFrom<u32> for MaxAnswer {
    type Error = &'static str;

    fn try_from(mebibytes: u32) -> Result<Self, Self::Error> {
        Self::new(mebibytes).ok_or("must be 1 to 64 MiB")
    }
}

impl From<MaxAnswer> for u32 {
    fn from(limit: MaxAnswer) -> Self {
        limit.mebibytes()
    }
}

impl Default for CallTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(300),
        }
    }
}

impl Default for RelayPolicy {
    fn default() -> Self {
        Self {
            elicitation: true,
            sampling: false,
            roots: false,
        }
    }
}

impl ServerBinding {
    /// Creates a binding that exposes everything the server offers.
    pub fn all(server: Slug) -> Self {
        Self::tools(server, BindingSelection::All)
    }

    /// Creates a binding for these tools with the defaults for the rest: prompts and resources are exposed if all tools
    /// are, and not if tools are selected individually.
    pub fn tools(server: Slug, tools: BindingSelection) -> Self {
        let rest = tools == BindingSelection::All;
        let prompts = if rest {
            BindingSelection::All
        } else {
            BindingSelection::none()
        };
        Self {
            server,
            tools,
            prompts,
            resources: rest,
            shapes: BTreeMap::new(),
            timeout: None,
            rate_limits: Vec::new(),
        }
    }
}

impl BindingSelection {
    /// Returns a selection of nothing.
    pub const fn none() -> Self {
        Self::Only(Vec::new())
    }
}

impl Gateway {
    /// Returns `true` if the uid is derived, because an earlier build created the gateway.
    pub fn has_derived_uid(&self) -> bool {
        self.meta.uid == Uid::derived::<Self>(&self.name, self.meta.created)
    }
}

impl Token {
    /// Returns `true` if the token names the gateway with this id.
    pub fn lists_gateway(&self, id: &Slug) -> bool {
        matches!(&self.gateways, AllowList::Only(_)) && self.gateways.contains(id)
    }

    /// Returns `true` if the token admits to `gateway`, as far as its list goes: to the very gateway that it was given,
    /// not to one made later under the same name. A token of an earlier build, which recorded no uids, admits to
    /// gateways of such a build.
    pub fn admits_to(&self, gateway: &Gateway) -> bool {
        match self.gateway_uids.get(&gateway.name.id) {
            Some(uid) => *uid == gateway.meta.uid,
            None => gateway.has_derived_uid(),
        }
    }
}

impl<T: Ord> AllowList<T> {
    /// Creates a list of `items`. An empty list allows everything, as in the API.
    pub fn of(mut items: Vec<T>) -> Self {
        if items.is_empty() {
            return Self::All;
        }
        items.sort();
        items.dedup();
        Self::Only(items)
    }

    /// Returns `true` if `item` is allowed.
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        match self {
            Self::All => true,
            Self::Only(items) => items
                .binary_search_by(|probe| probe.borrow().cmp(item))
                .is_ok(),
        }
    }
}
