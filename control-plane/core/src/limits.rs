//! Limits of a configuration. Decide checks them, so nothing beyond them is stored. Compile checks them again, so
//! an oversized object written directly to the store affects only itself.

use std::time::Duration;

/// Maximum number of rate limits of an object or a binding.
pub const RATE_LIMITS: usize = 16;
/// Maximum number of bindings of a gateway.
pub const GATEWAY_BINDINGS: usize = 500;
/// Maximum number of tools that a gateway exposes.
pub const GATEWAY_TOOLS: usize = 10_000;
/// Maximum number of prompts that a gateway exposes.
pub const GATEWAY_PROMPTS: usize = 2_000;
/// Maximum number of tools, or of prompts, selected by name in a binding.
pub const BINDING_TOOLS: usize = 1_000;
/// Maximum number of tool shapes in a binding.
pub const BINDING_SHAPES: usize = 1_000;
/// Maximum number of fixed arguments, and of hidden arguments, of a tool.
pub const SHAPE_ARGUMENTS: usize = 64;
/// Maximum size of a fixed argument value in bytes of JSON.
pub const SHAPE_VALUE: usize = 8 * 1024;
/// Maximum number of tools that are kept of a server.
pub const SERVER_TOOLS: usize = 10_000;
/// Maximum number of prompts that are kept of a server.
pub const SERVER_PROMPTS: usize = 2_000;
/// Maximum number of resources that are kept of a server.
pub const SERVER_RESOURCES: usize = 10_000;
/// Maximum number of resource templates that are kept of a server.
pub const SERVER_TEMPLATES: usize = 2_000;
/// Maximum size in bytes of all definitions of a server: their names, their JSON and [`DEFINITION_OVERHEAD`] each.
pub const SERVER_DEFINITIONS_BYTES: usize = 32 * 1024 * 1024;
/// Size in bytes counted per definition in addition to its name and its JSON.
pub const DEFINITION_OVERHEAD: usize = 128;
/// Maximum size of a server's instructions in bytes.
pub const SERVER_INSTRUCTIONS: usize = 16 * 1024;
/// Maximum size of a server's capabilities in bytes.
pub const SERVER_CAPABILITIES: usize = 16 * 1024;
/// Maximum interval between two probes of a server. A failed probe is repeated earlier.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(300);
/// Maximum delay after a failed probe.
pub const MAX_PROBE_RETRY: Duration = Duration::from_secs(30);
/// Maximum number of labels of an object.
pub const LABELS: usize = 64;
/// Maximum length of a label key in characters.
pub const LABEL_KEY: usize = 63;
/// Maximum length of a label value in characters.
pub const LABEL_VALUE: usize = 255;
/// Maximum length of a display name in characters.
pub const DISPLAY_NAME: usize = 100;
/// Maximum length of a description in characters.
pub const DESCRIPTION: usize = 2_000;
/// Maximum length of a gateway's instructions in characters.
pub const INSTRUCTIONS: usize = 8_000;
/// Maximum length of a server URL in characters.
pub const URL: usize = 2_048;
/// Maximum length of the name of a tool or prompt in characters.
pub const TOOL_NAME: usize = 256;
/// Maximum length of a tool description set by a shape, in characters.
pub const TOOL_DESCRIPTION: usize = 8_000;
/// Maximum length of a generated name or an alias of a tool or prompt, in characters.
pub const EXPOSED_NAME: usize = 64;
/// Maximum number of gateways, and of tools, listed in a token.
pub const TOKEN_SCOPE_ENTRIES: usize = 1_000;
/// Maximum length of a request id in characters.
pub const REQUEST_ID: usize = 128;
/// Maximum number of endpoints of a server.
pub const ENDPOINTS: usize = 16;
/// Maximum number of keys of an identity provider.
pub const PROVIDER_KEYS: usize = 16;
/// Maximum time for which fetched keys stay in use while they cannot be fetched again.
pub const PROVIDER_KEYS_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of identity providers that a gateway admits.
pub const ADMITTED_PROVIDERS: usize = 8;
/// Maximum length of a region in characters.
pub const REGION: usize = 63;
/// Maximum number of objects of one kind in an organization.
pub const OBJECTS_PER_KIND: usize = 100_000;
/// Maximum number of organizations.
pub const ORGANIZATIONS: usize = 100_000;
/// Maximum number of valid join tokens at a time.
pub const JOIN_TOKENS: usize = 1_000;
/// Maximum value of a server timeout.
pub const TIMEOUT: Duration = Duration::from_secs(3_600);
/// Maximum number of entries in the version log.
pub const VERSION_LOG_ENTRIES: usize = 500;
/// Maximum number of lines in one entry of the version log.
pub const VERSION_LOG_LINES: usize = 20;
/// Maximum number of stored refusals of a proxy.
pub const PROXY_REFUSALS: usize = 100;
/// Retention of the record of a proxy that no longer reports.
pub const PROXY_RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// Period for which the id of an expelled proxy is rejected: longer than the lifetime of a proxy certificate.
pub const EXPULSION_PERIOD: Duration = Duration::from_secs(25 * 3_600);
/// Time for which the tokens that a restored store brought back are named.
pub const RESTORE_REVIEW_PERIOD: Duration = Duration::from_secs(7 * 86_400);
/// Maximum time from the creation to the end of a temporary token, such as a command makes for itself. Its record is deleted
/// after its end.
pub const TEMPORARY_TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);
/// Retention of the record of a temporary token that has ended. By then, no clock of a proxy takes it for valid.
pub const TEMPORARY_TOKEN_RETENTION: Duration = Duration::from_secs(86_400);
/// Retention of a request id.
pub const REQUEST_ID_RETENTION: Duration = Duration::from_secs(3_600);
/// Maximum number of expired records that one change deletes.
pub const SWEEP_BATCH: usize = 20;
/// Maximum number of parts of definitions that one change deletes. More than the definitions of a server have, so that
/// none are left behind.
pub const PARTS_SWEEP_BATCH: usize = 60;
/// Maximum lifetime of a join token.
pub const JOIN_TOKEN_MAX_TTL: Duration = Duration::from_secs(86_400);
