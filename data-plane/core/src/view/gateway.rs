//! One gateway: what it exposes, what it says of itself, and its lists as bytes.

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

/// Longest instructions that are told to agents, in bytes.
pub const INSTRUCTIONS_LIMIT: usize = 32 * 1024;

/// One endpoint offered to clients.
pub struct GatewayView {
    /// Owner and id.
    pub name: Name,
    /// Why nothing is served here, if nothing is.
    pub denied: Option<Box<str>>,
    /// Its servers, in binding order.
    pub servers: Vec<Arc<ServerView>>,
    /// What it says of itself.
    pub server_info: Implementation,
    /// What agents are told: the operator's words, then each server's.
    pub instructions: Box<str>,
    /// What its servers can do, together.
    pub offers: Offers,
    /// Of everything it was built from.
    pub digest: Digest,
    /// Of its tools as clients see them: changes with what `tools/list` answers, and with nothing else.
    pub tools_digest: Digest,
    /// Of its prompts, likewise.
    pub prompts_digest: Digest,
    /// Of its resources and templates, likewise.
    pub resources_digest: Digest,
    pub(super) tools: Vec<Arc<ToolView>>,
    /// By what its tools are found, where not all of them are listed.
    pub(super) finder: Option<Finder>,
    pub(super) by_name: BTreeMap<Box<str>, Arc<ToolView>>,
    pub(super) prompts: Vec<Arc<PromptView>>,
    pub(super) prompts_by_name: BTreeMap<Box<str>, Arc<PromptView>>,
    pub(super) resources: Resources,
    pub(super) timeouts: BTreeMap<Slug, Duration>,
    pub(super) lists: Lists,
    pub(super) said: Said,
    /// What was left out of it, and why.
    pub(super) problems: Box<[String]>,
}

/// What servers can do beside tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// One sends log messages.
    pub logging: bool,
    /// One has prompts, or may have some.
    pub prompts: bool,
    /// One has resources, or may have some.
    pub resources: bool,
    /// One tells of updates of resources.
    pub subscribe: bool,
    /// These complete arguments.
    pub completing: BTreeSet<Slug>,
    /// These answer calls with tasks, for those who follow them: modern servers only.
    pub tasks: BTreeSet<Slug>,
    /// These have pages, for hosts that show them.
    pub apps: BTreeSet<Slug>,
}

/// What it says of itself, written once.
#[derive(Default)]
pub(super) struct Said {
    initialize: [OnceLock<Bytes>; versions::LEGACY.len()],
    discover: OnceLock<Bytes>,
    meta: OnceLock<Bytes>,
}

impl GatewayView {
    /// The tool of this exposed name. Whether a caller may know of it is for their grant to say.
    pub fn tool(&self, exposed: &str) -> Option<&Arc<ToolView>> {
        self.by_name.get(exposed)
    }

    /// All tools, in listing order: by name.
    pub fn tools(&self) -> &[Arc<ToolView>] {
        &self.tools
    }

    /// Whether its tools are found and run with two of its own, which alone are listed.
    pub fn is_progressive(&self) -> bool {
        self.finder.is_some()
    }

    /// The tools that `query` finds, as the JSON that a caller with this grant is answered; none if all are listed.
    pub(crate) fn search(&self, grant: &Grant, query: &str, limit: usize) -> Option<String> {
        let finder = self.finder.as_ref()?;
        Some(finder.search(&self.tools, grant, query, limit))
    }

    /// The prompt of this exposed name. Whether a caller may know of it is for their grant to say.
    pub fn prompt(&self, exposed: &str) -> Option<&Arc<PromptView>> {
        self.prompts_by_name.get(exposed)
    }

    /// Whose resource this URI is, and what that server calls it; whether there is such a resource is for the server
    /// to say, and whether a caller may know is for their grant.
    pub fn locate(&self, uri: &str) -> Option<ResourceTarget> {
        self.resources.locate(uri)
    }

    /// The same of a URI or URI template, to complete an argument of it.
    pub(crate) fn completed(&self, uri: &str) -> Option<ResourceTarget> {
        self.resources.completed(uri)
    }

    /// Whether the URIs of servers differ from those that clients see.
    pub fn shows_prefixes(&self) -> bool {
        self.resources.uris == UriMode::Prefixed
    }

    /// A server's URI as clients see it.
    pub fn shown<'a>(&self, server: &ServerView, uri: &'a str) -> Cow<'a, str> {
        resource::shown(self.resources.uris, server, uri)
    }

    /// The longest that one call of this server may take through it, where that is said.
    pub fn timeout(&self, server: &ServerView) -> Option<Duration> {
        self.timeouts.get(&server.name.id).copied()
    }

    /// A page of a list as this grant's callers of this era see it.
    pub fn page(&self, kind: ListKind, grant: &Grant, era: Era, page: u32) -> Option<ListPage> {
        match kind {
            ListKind::Tools => self.lists.tools(self, grant, era, page),
            ListKind::Prompts | ListKind::Resources | ListKind::Templates => {
                self.lists.rest(self, kind, grant, era, page)
            }
        }
    }

    /// The result of `initialize`, for this negotiated version.
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

    /// `_meta` of a modern result that has nothing else to say there: who we are.
    pub fn own_meta(&self) -> &[u8] {
        self.said.meta.get_or_init(|| {
            let server = self.server_info.to_json();
            let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
            object::rebuild(b"{}", |_| false, own).into()
        })
    }

    /// The result of `server/discover`.
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

    /// The result of `completion/complete` where there is nobody to ask.
    pub fn no_completion(&self, era: Era) -> Bytes {
        let tail = match era {
            Era::Legacy => String::new(),
            Era::Modern => format!(",{}", message::modern_members(&self.server_info, None)),
        };
        Bytes::from(format!(
            "{{\"completion\":{{\"values\":[],\"total\":0,\"hasMore\":false}}{tail}}}"
        ))
    }

    /// Nothing is advertised that is not served.
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

/// What is told of changes of this kind: the members of its capability, and the one place that says so. Changes of lists
/// are told always: the gateway itself changes them.
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
