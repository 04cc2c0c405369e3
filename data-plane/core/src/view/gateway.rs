//! View of one gateway: its tools, prompts and resources, its description, and its serialized lists.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use toolgate_mcp::{
    apps,
    message::{self, CacheHints, Implementation},
    method, object, versions,
};
use toolgate_model::{Digest, Era, ObjectName, Slug, TokenHash, Uid, UriMode};

use crate::{
    Grant, PromptView, ServerView, ToolView,
    authn::external::GatewayTrust,
    client_state::task,
    plan::{ResourceTarget, list_cursor::ListKind},
    policy::GatewayPolicy,
    refusal::Refusal,
    view::{
        list::{LIST_TTL_MS, ListCache, ListPage},
        resource::{self, ResourceIndex},
        tool_index::ToolIndex,
    },
};

/// Maximum length of the instructions for agents, in bytes.
pub const INSTRUCTIONS_LIMIT: usize = 32 * 1024;

/// Reason why a gateway denies all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayDenial {
    /// Requires a feature that this proxy does not know.
    UnknownFeature(Box<str>),
    /// Record in the store that cannot be read.
    Unreadable,
}

impl GatewayDenial {
    /// Returns the refusal of its requests.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::UnknownFeature(_) => Refusal::GatewayDenied,
            Self::Unreadable => Refusal::GatewayUnreadable,
        }
    }
}

/// View of a gateway, an endpoint for clients.
pub struct GatewayView {
    /// Organization and id.
    pub name: ObjectName,
    /// Identity, which a gateway made later under the same name does not share. `None` if the control plane has not told it.
    pub uid: Option<Uid>,
    /// Reason why all requests are denied, if they are.
    pub denied: Option<GatewayDenial>,
    /// Bound servers, in binding order.
    pub servers: Vec<Arc<ServerView>>,
    /// `serverInfo` of the gateway.
    pub server_info: Implementation,
    /// Instructions for agents: the operator's text, then those of each server.
    pub instructions: Box<str>,
    /// Filters of requests to the gateway.
    pub policy: GatewayPolicy,
    /// Combined features of its servers.
    pub features: GatewayFeatures,
    /// Digest of everything the view was built from.
    pub digest: Digest,
    /// Digest of the exposed tools. It changes exactly when the result of `tools/list` changes.
    pub tools_digest: Digest,
    /// Digest of the exposed prompts, likewise.
    pub prompts_digest: Digest,
    /// Digest of the exposed resources and templates, likewise.
    pub resources_digest: Digest,
    /// Identity providers whose callers are admitted, if there are any.
    pub(crate) trust: Option<GatewayTrust>,
    pub(super) tools: Vec<Arc<ToolView>>,
    /// Search index, if the gateway is progressive.
    pub(super) tool_index: Option<ToolIndex>,
    pub(super) by_name: BTreeMap<Box<str>, Arc<ToolView>>,
    pub(super) prompts: Vec<Arc<PromptView>>,
    pub(super) prompts_by_name: BTreeMap<Box<str>, Arc<PromptView>>,
    pub(super) resources: ResourceIndex,
    pub(super) timeouts: BTreeMap<Slug, Duration>,
    pub(super) lists: ListCache,
    pub(super) cached: CachedResponses,
    /// Descriptions of the parts that were left out.
    pub(super) problems: Box<[String]>,
}

/// Features of the bound servers other than tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayFeatures {
    /// True if a server sends log messages.
    pub logging: bool,
    /// True if a server has or may have prompts.
    pub prompts: bool,
    /// True if a server has or may have resources.
    pub resources: bool,
    /// True if a server supports resource subscriptions.
    pub subscribe: bool,
    /// Servers that complete arguments.
    pub completion_servers: BTreeSet<Slug>,
    /// Servers that answer calls with tasks for clients that support it; modern servers only.
    pub task_servers: BTreeSet<Slug>,
    /// Servers with MCP Apps pages.
    pub app_servers: BTreeSet<Slug>,
}

/// Serialized responses about the gateway, each written once.
#[derive(Default)]
pub(super) struct CachedResponses {
    initialize: [OnceLock<Bytes>; versions::LEGACY.len()],
    discover: OnceLock<Bytes>,
    meta: OnceLock<Bytes>,
}

impl GatewayView {
    /// Returns the key under which the verdict about a token of an identity provider may be cached; `None` if the gateway admits
    /// no callers of providers. It changes with everything that the verdict depends on, but for the time.
    pub fn verdict_key(&self, hash: &TokenHash) -> Option<[u8; 32]> {
        self.trust.as_ref().map(|trust| trust.verdict_key(hash))
    }

    /// Returns the tool with this exposed name. The caller's grant is checked separately.
    pub fn tool(&self, exposed: &str) -> Option<&Arc<ToolView>> {
        self.by_name.get(exposed)
    }

    /// All tools, in listing order, which is by name.
    pub fn tools(&self) -> &[Arc<ToolView>] {
        &self.tools
    }

    /// Returns `true` if only the two built-in tools are listed, which find and run the others.
    pub fn is_progressive(&self) -> bool {
        self.tool_index.is_some()
    }

    /// Returns the tools that match `query` and that the grant allows, as JSON for the client. Returns `None` if the
    /// gateway is not progressive.
    pub(crate) fn search(&self, grant: &Grant, query: &str, limit: usize) -> Option<String> {
        let index = self.tool_index.as_ref()?;
        Some(index.search(&self.tools, grant, query, limit))
    }

    /// Returns the prompt with this exposed name. The caller's grant is checked separately.
    pub fn prompt(&self, exposed: &str) -> Option<&Arc<PromptView>> {
        self.prompts_by_name.get(exposed)
    }

    /// Resolves an exposed URI to its server and the server's own URI. The resource need not exist; the caller's grant
    /// is checked separately.
    pub fn locate(&self, uri: &str) -> Option<ResourceTarget> {
        self.resources.locate(uri)
    }

    /// Resolves an exposed URI or URI template for completion of an argument.
    pub(crate) fn completion_target(&self, uri: &str) -> Option<ResourceTarget> {
        self.resources.completion_target(uri)
    }

    /// Returns `true` if exposed URIs carry the prefix of their server.
    pub fn shows_prefixes(&self) -> bool {
        self.resources.uris == UriMode::Prefixed
    }

    /// Exposed form of a server's URI.
    pub fn exposed_uri<'a>(&self, server: &ServerView, uri: &'a str) -> Cow<'a, str> {
        resource::exposed_uri(self.resources.uris, server, uri)
    }

    /// Maximum duration of a call of this server through the gateway, if configured.
    pub fn timeout(&self, server: &ServerView) -> Option<Duration> {
        self.timeouts.get(&server.name.id).copied()
    }

    /// Returns a page of a list as seen with this grant in this era.
    pub fn page(&self, kind: ListKind, grant: &Grant, era: Era, page: u32) -> Option<ListPage> {
        match kind {
            ListKind::Tools => self.lists.tool_page(self, grant, era, page),
            ListKind::Prompts | ListKind::Resources | ListKind::Templates => {
                self.lists.all_or_nothing_page(self, kind, grant, era, page)
            }
        }
    }

    /// Result of `initialize` for this negotiated version.
    pub fn initialize(&self, version: &str) -> Bytes {
        let write = || {
            let capabilities = self.capabilities(Era::Legacy);
            let (server, instructions) = (&self.server_info, &self.instructions);
            let text = message::initialize_result(version, &capabilities, server, instructions);
            Bytes::from(text)
        };
        let mut known = versions::LEGACY.iter().zip(&self.cached.initialize);
        match known.find(|(known, _)| **known == version) {
            Some((_, text)) => text.get_or_init(write).clone(),
            None => write(),
        }
    }

    /// `_meta` of a modern result without other members: the gateway's `serverInfo`.
    pub fn server_meta(&self) -> &[u8] {
        self.cached.meta.get_or_init(|| {
            let server = self.server_info.to_json();
            let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
            object::rebuild(b"{}", |_| false, own).into()
        })
    }

    /// Result of `server/discover`.
    pub fn discover(&self) -> Bytes {
        let write = || {
            let caching = CacheHints {
                ttl_ms: LIST_TTL_MS,
                public: false,
            };
            Bytes::from(message::discover_result(
                &versions::ALL,
                &self.capabilities(Era::Modern),
                &self.server_info,
                &self.instructions,
                caching,
            ))
        };
        self.cached.discover.get_or_init(write).clone()
    }

    /// Result of `completion/complete` if no server supports it.
    pub fn empty_completion(&self, era: Era) -> Bytes {
        let tail = match era {
            Era::Legacy => String::new(),
            Era::Modern => format!(",{}", message::modern_members(&self.server_info, None)),
        };
        Bytes::from(format!(
            "{{\"completion\":{{\"values\":[],\"total\":0,\"hasMore\":false}}{tail}}}"
        ))
    }

    /// Capabilities of the gateway. Only supported capabilities are advertised.
    fn capabilities(&self, era: Era) -> String {
        let offers = &self.features;
        let kinds = [
            (true, ListKind::Tools),
            (offers.prompts, ListKind::Prompts),
            (offers.resources, ListKind::Resources),
        ];
        let mut members: Vec<String> = kinds
            .into_iter()
            .filter(|(offered, _)| *offered)
            .map(|(_, kind)| {
                let updates = kind == ListKind::Resources && offers.subscribe;
                let updates = if updates { ",\"subscribe\":true" } else { "" };
                format!(
                    "\"{}\":{{{}{updates}}}",
                    kind.member(),
                    list_capability(kind)
                )
            })
            .collect();
        let plain = [
            (!offers.completion_servers.is_empty(), "\"completions\":{}"),
            (offers.logging, "\"logging\":{}"),
        ];
        let plain = plain.into_iter().filter(|(offered, _)| *offered);
        members.extend(plain.map(|(_, member)| member.to_owned()));
        let extensions = [
            (
                era == Era::Modern && !offers.task_servers.is_empty(),
                task::EXTENSION,
            ),
            (!offers.app_servers.is_empty(), apps::EXTENSION),
        ];
        let extensions = extensions.into_iter().filter(|(offered, _)| *offered);
        let extensions: Vec<String> = extensions
            .map(|(_, extension)| format!("\"{extension}\":{{}}"))
            .collect();
        if !extensions.is_empty() {
            members.push(format!("\"extensions\":{{{}}}", extensions.join(",")));
        }
        format!("{{{}}}", members.join(","))
    }
}

/// Members of the capability for this kind. `listChanged` is always declared, because changes of the gateway change
/// its lists.
const fn list_capability(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Tools | ListKind::Prompts | ListKind::Resources | ListKind::Templates => {
            "\"listChanged\":true"
        }
    }
}

impl fmt::Debug for GatewayView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayView({}, {} tools)", self.name, self.tools.len())
    }
}
