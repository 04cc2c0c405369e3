//! Bounds of everything that comes in. They belong to the schema: the admin API, the store and the proxy hold the
//! same ones, because all three read messages through this crate. What a configuration may contain is decided in the
//! control plane's core and is narrower; these only bound what a reader will look at.

/// Bytes of a display name.
pub const DISPLAY_NAME: usize = 1024;
/// Bytes of a description.
pub const DESCRIPTION: usize = 16 * 1024;
/// Labels of one object.
pub const LABELS: usize = 64;
/// Bytes of a label's key.
pub const LABEL_KEY: usize = 128;
/// Bytes of a label's value.
pub const LABEL_VALUE: usize = 1024;
/// Bindings of one gateway.
pub const BINDINGS: usize = 1024;
/// Tools named in one binding, and exposed by one gateway, and offered by one server; of prompts, resources and
/// templates as many.
pub const TOOLS: usize = 10_000;
/// Bytes of the name of a tool or prompt.
pub const TOOL_NAME: usize = 1024;
/// Arguments set, or hidden, of one tool.
pub const ARGUMENTS: usize = 1_000;
/// Bytes of the name of an argument.
pub const ARGUMENT_NAME: usize = 1024;
/// Bytes of the value of an argument, JSON.
pub const ARGUMENT_VALUE: usize = 64 * 1024;
/// Bytes of the URI of a resource, or of a template.
pub const RESOURCE_URI: usize = 8 * 1024;
/// Bytes of one definition.
pub const DEFINITION: usize = 1024 * 1024;
/// Bytes of instructions to agents.
pub const INSTRUCTIONS: usize = 64 * 1024;
/// Bytes of a server's declared capabilities.
pub const CAPABILITIES: usize = 64 * 1024;
/// Bytes of a URL.
pub const URL: usize = 8 * 1024;
/// Bytes of a header name.
pub const HEADER_NAME: usize = 128;
/// Bytes of a header value.
pub const HEADER_VALUE: usize = 8 * 1024;
/// Gateways, and tools, named in one token.
pub const TOKEN_REACH: usize = 1_000;
/// Security fields named in one gateway.
pub const MUST_UNDERSTAND: usize = 64;
/// Bytes of any short text of ours: regions, versions, authors, hints.
pub const SHORT: usize = 256;
/// Bytes of a reason or problem.
pub const REASON: usize = 4 * 1024;
/// Resources named in one Nack.
pub const REFUSALS: usize = 10_000;
/// Resources of one push, and held by one proxy.
pub const RESOURCES: usize = 1_000_000;
/// Changes remembered with one version.
pub const CHANGES: usize = 1_000;
/// Seal keys in a keyring.
pub const SEAL_KEYS: usize = 8;
/// Longest timeout of a call.
pub const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
