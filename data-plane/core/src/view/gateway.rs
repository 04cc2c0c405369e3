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
    message::{self, Caching, Implementation},
    method, object, versions,
};
use toolgate_model::{Digest, Era, Name, Slug, UriMode};

use crate::{
    Grant, PromptView, ServerView, ToolView,
    cursor::ListKind,
    plan::ResourceTarget,
    task,
    view::{
        finder::Finder,
        list::{LIST_TTL_MS, ListPage, Lists},
        resource::{self, Resources},
    },
};

/// Maximum length of the instructions for agents, in bytes.
pub const INSTRUCTIONS_LIMIT: usize = 32 * 1024;

/// View of a gateway, an endpoint for clients.
pub struct GatewayView {
    /// Organization and id.
    pub name: Name,
    /// Reason why all requests are denied, if they are.
    pub denied: Option<Box<str>>,
    /// Bound servers, in binding order.
    pub servers: Vec<Arc<ServerView>>,
    /// `serverInfo` of the gateway.
    pub server_info: Implementation,
    /// Instructions for agents: the operator's text, then those of each server.
    pub instructions: Box<str>,
    /// Combined features of its servers.
    pub offers: Offers,
    /// Digest of everything the view was built from.
    pub digest: Digest,
    /// Digest of the exposed tools. It changes exactly when the result of `tools/list` changes.
    pub tools_digest: Digest,
    /// Digest of the exposed prompts, likewise.
    pub prompts_digest: Digest,
    /// Digest of the exposed resources and templates, likewise.
    pub resources_digest: Digest,
    pub(super) tools: Vec<Arc<ToolView>>,
    /// Search index, if the gateway is progressive.
    pub(super) finder: Option<Finder>,
    pub(super) by_name: BTreeMap<Box<str>, Arc<ToolView>>,
    pub(super) prompts: Vec<Arc<PromptView>>,
    pub(super) prompts_by_name: BTreeMap<Box<str>, Arc<PromptView>>,
    pub(super) resources: Resources,
    pub(super) timeouts: BTreeMap<Slug, Duration>,
    pub(super) lists: Lists,
    pub(super) said: Said,
    /// Descriptions of the parts that were left out.
    pub(super) problems: Box<[String]>,
}

/// Features of the bound servers other than tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// True if a server sends log messages.
    pub logging: bool,
    /// True if a server has or may have prompts.
    pub prompts: bool,
    /// True if a server has or may have resources.
    pub resources: bool,
    /// True if a server supports resource subscriptions.
    pub subscribe: bool,
    /// Servers that complete arguments.
    pub completing: BTreeSet<Slug>,
    /// Servers that answer calls with tasks for clients that support it; modern servers only.
    pub tasks: BTreeSet<Slug>,
    /// Servers with MCP Apps pages.
    pub apps: BTreeSet<Slug>,
}

/// Serialized responses about the gateway, each written once.
#[derive(Default)]
pub(super) struct Said {
    initialize: [OnceLock<Bytes>; versions::LEGACY.len()],
    discover: OnceLock<Bytes>,
    meta: OnceLock<Bytes>,
}

impl GatewayView {
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
        self.finder.is_some()
    }

    /// Returns the tools that match `query` and that the grant allows, as JSON for the client. Returns `None` if the
    /// gateway is not progressive.
    pub(crate) fn search(&self, grant: &Grant, query: &str, limit: usize) -> Option<String> {
        let finder = self.finder.as_ref()?;
        Some(finder.search(&self.tools, grant, query, limit))
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
    pub(crate) fn completed(&self, uri: &str) -> Option<ResourceTarget> {
        self.resources.completed(uri)
    }

    /// Returns `true` if exposed URIs carry the prefix of their server.
    pub fn shows_prefixes(&self) -> bool {
        self.resources.uris == UriMode::Prefixed
    }

    /// Exposed form of a server's URI.
    pub fn shown<'a>(&self, server: &ServerView, uri: &'a str) -> Cow<'a, str> {
        resource::shown(self.resources.uris, server, uri)
    }

    /// Maximum duration of a call of this server through the gateway, if configured.
    pub fn timeout(&self, server: &ServerView) -> Option<Duration> {
        self.timeouts.get(&server.name.id).copied()
    }

    /// Returns a page of a list as seen with this grant in this era.
    pub fn page(&self, kind: ListKind, grant: &Grant, era: Era, page: u32) -> Option<ListPage> {
        match kind {
            ListKind::Tools => self.lists.tools(self, grant, era, page),
            ListKind::Prompts | ListKind::Resources | ListKind::Templates => {
                self.lists.rest(self, kind, grant, era, page)
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
        let mut known = versions::LEGACY.iter().zip(&self.said.initialize);
        match known.find(|(known, _)| **known == version) {
            Some((_, said)) => said.get_or_init(write).clone(),
            None => write(),
        }
    }

    /// `_meta` of a modern result without other members: the gateway's `serverInfo`.
    pub fn own_meta(&self) -> &[u8] {
        self.said.meta.get_or_init(|| {
            let server = self.server_info.to_json();
            let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
            object::rebuild(b"{}", |_| false, own).into()
        })
    }

    /// Result of `server/discover`.
    pub fn discover(&self) -> Bytes {
        let write = || {
            let caching = Caching {
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
        self.said.discover.get_or_init(write).clone()
    }

    /// Result of `completion/complete` if no server supports it.
    pub fn no_completion(&self, era: Era) -> Bytes {
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
        let offers = &self.offers;
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
                format!("\"{}\":{{{}{updates}}}", kind.member(), told(kind))
            })
            .collect();
        let plain = [
            (!offers.completing.is_empty(), "\"completions\":{}"),
            (offers.logging, "\"logging\":{}"),
        ];
        let plain = plain.into_iter().filter(|(offered, _)| *offered);
        members.extend(plain.map(|(_, member)| member.to_owned()));
        let extensions = [
            (
                era == Era::Modern && !offers.tasks.is_empty(),
                task::EXTENSION,
            ),
            (!offers.apps.is_empty(), apps::EXTENSION),
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
const fn told(kind: ListKind) -> &'static str {
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
