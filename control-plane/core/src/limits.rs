//! Every bound of a configuration, with its name. Checked by decide, so that nothing beyond them is stored, and
//! again by compile, so that what came in behind our back harms only itself.

use std::time::Duration;

use toolgate_model::Definition;

/// How much is kept of one list of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimit {
    /// Entries.
    pub count: usize,
    /// Bytes of names and definitions, with what each costs besides. All lists of a server are one object in the
    /// store, which takes 1.5 MiB.
    pub bytes: usize,
}

/// Bindings of one gateway.
pub const GATEWAY_BINDINGS: usize = 500;
/// Tools that one gateway exposes.
pub const GATEWAY_TOOLS: usize = 5_000;
/// Prompts that one gateway exposes.
pub const GATEWAY_PROMPTS: usize = 2_000;
/// Tools, or prompts, named by one binding.
pub const BINDING_TOOLS: usize = 1_000;
/// Tools that one binding shapes.
pub const BINDING_SHAPES: usize = 1_000;
/// Arguments that are set, or hidden, of one tool.
pub const SHAPE_ARGUMENTS: usize = 64;
/// Bytes of the value of an argument that is set, JSON.
pub const SHAPE_VALUE: usize = 8 * 1024;
/// Tools kept of one server.
pub const CATALOGUE_TOOLS: ListLimit = ListLimit {
    count: 5_000,
    bytes: 768 * 1024,
};
/// Prompts kept of one server.
pub const CATALOGUE_PROMPTS: ListLimit = ListLimit {
    count: 1_000,
    bytes: 128 * 1024,
};
/// Resources kept of one server.
pub const CATALOGUE_RESOURCES: ListLimit = ListLimit {
    count: 2_000,
    bytes: 256 * 1024,
};
/// Templates kept of one server.
pub const CATALOGUE_TEMPLATES: ListLimit = ListLimit {
    count: 500,
    bytes: 64 * 1024,
};
/// What a definition costs beside its name and its JSON.
pub const CATALOGUE_ENTRY: usize = 128;
/// Bytes kept of one server's instructions.
pub const CATALOGUE_INSTRUCTIONS: usize = 16 * 1024;
/// Bytes kept of one server's capabilities.
pub const CATALOGUE_CAPABILITIES: usize = 16 * 1024;
/// How long a server is left alone at most: a probe that fails is repeated sooner.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(300);
/// Labels of one object.
pub const LABELS: usize = 64;
/// Characters of a label's key.
pub const LABEL_KEY: usize = 63;
/// Characters of a label's value.
pub const LABEL_VALUE: usize = 255;
/// Characters of a display name.
pub const DISPLAY_NAME: usize = 100;
/// Characters of a description.
pub const DESCRIPTION: usize = 2_000;
/// Characters of a gateway's instructions.
pub const INSTRUCTIONS: usize = 8_000;
/// Characters of a server's URL.
pub const URL: usize = 2_048;
/// Characters of the name of a tool or prompt.
pub const TOOL_NAME: usize = 256;
/// Characters of a tool's description in place of its server's.
pub const TOOL_DESCRIPTION: usize = 8_000;
/// Characters of a name that we choose for a tool or prompt.
pub const EXPOSED_NAME: usize = 64;
/// Gateways or tools that a token lists.
pub const TOKEN_REACH: usize = 1_000;
/// Characters of a request id.
pub const REQUEST_ID: usize = 128;
/// Characters of a region.
pub const REGION: usize = 63;
/// Objects of one kind in one organization.
pub const OBJECTS_PER_KIND: usize = 10_000;
/// Organizations.
pub const ORGANIZATIONS: usize = 10_000;
/// Join tokens at a time.
pub const JOIN_TOKENS: usize = 1_000;
/// Longest of a server's timeouts.
pub const TIMEOUT: Duration = Duration::from_secs(3_600);
/// Entries of the version log.
pub const HISTORY: u64 = 500;
/// Lines of one entry of the version log.
pub const HISTORY_CHANGES: usize = 20;
/// Refusals kept of one proxy.
pub const PROXY_REFUSALS: usize = 100;
/// How long a proxy that is not heard of is remembered.
pub const PROXY_MEMORY: Duration = Duration::from_secs(7 * 86_400);
/// How long the id of an expelled proxy stays closed: longer than any certificate of a proxy lives.
pub const EXPULSION: Duration = Duration::from_secs(25 * 3_600);
/// How long a request id is remembered.
pub const REQUEST_MEMORY: Duration = Duration::from_secs(3_600);
/// Expired records that one change clears away.
pub const SWEEP: usize = 20;
/// Longest life of a join token.
pub const JOIN_TOKEN_LIFE: Duration = Duration::from_secs(86_400);

impl ListLimit {
    /// How many of `offered` are kept: the first ones, without gaps.
    pub fn keeps(&self, offered: &[Definition]) -> usize {
        let mut left = self.bytes;
        let fits = |it: &&Definition| {
            let size = it.name.len() + it.json.len() + CATALOGUE_ENTRY;
            let room = left.checked_sub(size);
            left = room.unwrap_or(0);
            room.is_some()
        };
        offered.iter().take(self.count).take_while(fits).count()
    }
}
