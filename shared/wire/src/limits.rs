//! Limits of all received messages. They are part of the schema: the admin API, the store and the proxy enforce the
//! same limits, because all three read messages through this crate. The narrower limits of a configuration are enforced
//! by the core of the control plane; the limits here only bound the work of a reader.

/// Maximum length of a display name in bytes.
pub const DISPLAY_NAME: usize = 1024;
/// Maximum length of a description in bytes.
pub const DESCRIPTION: usize = 16 * 1024;
/// Maximum number of labels of an object.
pub const LABELS: usize = 64;
/// Maximum length of a label key in bytes.
pub const LABEL_KEY: usize = 128;
/// Maximum length of a label value in bytes.
pub const LABEL_VALUE: usize = 1024;
/// Maximum number of rate limits of an object or a binding.
pub const RATE_LIMITS: usize = 64;
/// Maximum number of rate limits of a gateway, including those of its organization, bindings and servers.
pub const GATEWAY_RATE_LIMITS: usize = 2 * RATE_LIMITS * (BINDINGS + 1);
/// Maximum number of bindings of a gateway.
pub const BINDINGS: usize = 1024;
/// Maximum number of tools named in a binding, exposed by a gateway, or offered by a server. Also applies to each of
/// prompts, resources and templates.
pub const TOOLS: usize = 10_000;
/// Maximum length of the name of a tool or prompt in bytes.
pub const TOOL_NAME: usize = 1024;
/// Maximum number of fixed, and of hidden, arguments of a tool.
pub const ARGUMENTS: usize = 1_000;
/// Maximum length of the name of an argument in bytes.
pub const ARGUMENT_NAME: usize = 1024;
/// Maximum length of the JSON value of an argument in bytes.
pub const ARGUMENT_VALUE: usize = 64 * 1024;
/// Maximum length of a resource URI or URI template in bytes.
pub const RESOURCE_URI: usize = 8 * 1024;
/// Maximum size of a definition in bytes.
pub const DEFINITION: usize = 1024 * 1024;
/// Maximum length of instructions for agents in bytes.
pub const INSTRUCTIONS: usize = 64 * 1024;
/// Maximum size of the declared capabilities of a server in bytes.
pub const CAPABILITIES: usize = 64 * 1024;
/// Maximum length of an issuer, an audience, the id of a key, or a value of a claim in bytes.
pub const CLAIM_TEXT: usize = 1024;
/// Maximum number of audiences of an identity provider.
pub const AUDIENCES: usize = 32;
/// Maximum number of keys of an identity provider.
pub const PROVIDER_KEYS: usize = 32;
/// Maximum number of identity providers that a gateway admits.
pub const ADMITTED_PROVIDERS: usize = 8;
/// Maximum number of claims that a gateway requires, per identity provider.
pub const REQUIRED_CLAIMS: usize = 8;
/// Maximum number of values, or of groups, of which one is required.
pub const REQUIRED_VALUES: usize = 64;
/// Maximum length of a URL in bytes.
pub const URL: usize = 8 * 1024;
/// Maximum number of endpoints of a server.
pub const ENDPOINTS: usize = 16;
/// Maximum number of origins that a credential is bound to.
pub const CREDENTIAL_HOSTS: usize = 32;
/// Maximum length of a header name in bytes.
pub const HEADER_NAME: usize = 128;
/// Maximum length of a header value in bytes.
pub const HEADER_VALUE: usize = 8 * 1024;
/// Maximum number of headers of a credential.
pub const CREDENTIAL_HEADERS: usize = 8;
/// Maximum number of query parameters of a credential.
pub const CREDENTIAL_QUERY: usize = 4;
/// Maximum length of the name of a query parameter of a credential in bytes.
pub const QUERY_NAME: usize = 128;
/// Maximum length of the value of a query parameter of a credential in bytes. With percent-encoding, all parameters and
/// the URL fit into one request target of 64 KiB.
pub const QUERY_VALUE: usize = 2 * 1024;
/// Maximum number of gateways, and of tools, named in a token.
pub const TOKEN_ALLOW_LIST: usize = 1_000;
/// Maximum number of features that a gateway requires.
pub const MUST_UNDERSTAND: usize = 64;
/// Maximum length of other short texts in bytes: regions, versions, authors, hints.
pub const SHORT: usize = 256;
/// Maximum number of lists of a server that a limit cuts.
pub const OMISSIONS: usize = 16;
/// Maximum number of parts in which the store holds the definitions of a server.
pub const DEFINITION_PARTS: usize = 1_000;
/// Maximum length of a reason or problem in bytes.
pub const REASON: usize = 4 * 1024;
/// Maximum number of resources named in a Nack.
pub const REFUSALS: usize = 10_000;
/// Maximum number of servers whose health a proxy reports.
pub const HEALTH_SERVERS: usize = 1_000;
/// Maximum number of queries for records of requests that a proxy answers.
pub const CALL_QUERIES: usize = 64;
/// Maximum number of records of requests in one message.
pub const CALL_RECORDS: usize = 64;
/// Maximum number of resources of a push, and held by a proxy.
pub const RESOURCES: usize = 1_000_000;
/// Maximum number of changes recorded for a version.
pub const CHANGES: usize = 1_000;
/// Maximum number of seal keys in a keyring.
pub const CLIENT_STATE_KEYS: usize = 8;
/// Maximum timeout of a call.
pub const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
