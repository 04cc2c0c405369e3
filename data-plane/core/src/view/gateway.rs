//! One gateway: the tools it exposes, what it says of itself, and its lists as bytes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use toolgate_mcp::{
    message::{self, Caching, Implementation},
    versions,
};
use toolgate_model::{Digest, Era, Name};

use crate::{
    Grant, ServerView, ToolView,
    view::list::{LIST_TTL_MS, ListPage, Lists},
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
    /// Whether any of its servers sends log messages.
    pub logging: bool,
    /// Of everything it was built from.
    pub digest: Digest,
    /// Of its tools as clients see them: changes with what `tools/list` answers, and with nothing else.
    pub tools_digest: Digest,
    pub(super) tools: Vec<Arc<ToolView>>,
    pub(super) by_name: BTreeMap<Box<str>, Arc<ToolView>>,
    pub(super) lists: Lists,
    pub(super) said: Said,
    /// What was left out of it, and why.
    pub(super) problems: Box<[String]>,
}

/// What it says of itself, written once.
#[derive(Default)]
pub(super) struct Said {
    initialize: [OnceLock<Bytes>; versions::LEGACY.len()],
    discover: OnceLock<Bytes>,
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

    /// A page of `tools/list` as this grant's callers of this era see it.
    pub fn tools_page(&self, grant: &Grant, era: Era, page: u32) -> Option<ListPage> {
        self.lists.page(self, grant, era, page)
    }

    /// The result of `initialize`, for this negotiated version.
    pub fn initialize(&self, version: &str) -> Bytes {
        let write = || {
            let capabilities = self.capabilities();
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

    /// The result of `server/discover`.
    pub fn discover(&self) -> Bytes {
        let write = || {
            let caching = Caching {
                ttl_ms: LIST_TTL_MS,
                public: false,
            };
            Bytes::from(message::discover_result(
                &versions::ALL,
                &self.capabilities(),
                &self.server_info,
                &self.instructions,
                caching,
            ))
        };
        self.said.discover.get_or_init(write).clone()
    }

    /// Nothing is advertised that is not served. Changes of lists are told always: the gateway itself changes them.
    fn capabilities(&self) -> String {
        let tools = "\"tools\":{\"listChanged\":true}";
        let logging = if self.logging { ",\"logging\":{}" } else { "" };
        format!("{{{tools}{logging}}}")
    }
}

impl fmt::Debug for GatewayView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayView({}, {} tools)", self.name, self.tools.len())
    }
}
