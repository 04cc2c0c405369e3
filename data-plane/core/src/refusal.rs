//! Reasons to refuse a request, and their mapping to HTTP status and JSON-RPC error.

use std::{borrow::Cow, fmt};

use serde_json::json;
use toolgate_mcp::{
    FrameError, FrameLimits, RpcError, cdn_loop::CdnLoopError, error::DATA_REFUSAL, versions,
};
use toolgate_model::RateLimitKey;

use crate::authn::token_fault::TokenFault;

/// Reason for refusing a request. Its text reveals nothing that the client may not know.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The path names no gateway in its canonical form.
    #[error("not found")]
    NoSuchPath,
    /// The method is not served at this path.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The `Host` header names no host of this gateway.
    #[error("this host is not served here; `--public-host` of the proxy names those that are")]
    Host,
    /// The `Origin` is not allowed.
    #[error(
        "this origin is not allowed; `--allowed-origin` of the proxy names the web pages that may use it"
    )]
    Origin,
    /// The token is missing or invalid, or does not authorize this gateway; the response does not say which.
    #[error("a valid bearer token is required")]
    Unauthenticated,
    /// The request has passed this deployment before, or too many others.
    #[error(transparent)]
    Loop(#[from] CdnLoopError),
    /// The token of an identity provider is refused.
    #[error("{}", .0.description())]
    InvalidToken(TokenFault),
    /// The `Accept` header lists none of the possible response types.
    #[error("`Accept` must list {0}")]
    NotAcceptable(&'static str),
    /// The content type is not JSON.
    #[error("`Content-Type` must be application/json")]
    MediaType,
    /// The body has a content coding, such as compression.
    #[error(
        "`Content-Encoding` must be absent or identity: send the body without a content coding"
    )]
    ContentCoding,
    /// The body exceeds the limit, in bytes.
    #[error("the message is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The body is not one strict JSON-RPC message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The message is of a kind that is not allowed here.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Modern: a header is missing, malformed or differs from the body.
    #[error("{0}")]
    HeaderMismatch(String),
    /// Modern: the protocol version is not supported.
    #[error("protocol version `{0}` is not supported")]
    UnsupportedVersion(String),
    /// Legacy: the protocol version in the header is not supported.
    #[error(
        "`MCP-Protocol-Version` is not a version that is spoken here: send the one that was negotiated"
    )]
    LegacyVersion,
    /// Modern: a required member of `_meta` is missing or malformed.
    #[error("`_meta` must hold `{0}`")]
    MissingMeta(&'static str),
    /// Legacy: the session header is missing.
    #[error(
        "`Mcp-Session-Id` is required: the answer to `initialize` has this header, and every later request has to repeat its value"
    )]
    MissingSession,
    /// Legacy: the session is unknown, over, or belongs to another caller; the response does not say which.
    #[error("session not found: send `initialize` again")]
    UnknownSession,
    /// The method does not exist. For modern clients the HTTP status says so too.
    #[error("Method not found: {method}")]
    MethodNotFound {
        /// Requested method.
        method: String,
        /// True if the request was framed as modern.
        modern: bool,
    },
    /// The parameters are malformed.
    #[error("{0}")]
    InvalidParams(Cow<'static, str>),
    /// The tool is unknown, hidden or not granted; the response does not say which.
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    /// The prompt is unknown, hidden or not granted; the response does not say which.
    #[error("Unknown prompt: {0}")]
    UnknownPrompt(String),
    /// The resource is unknown, hidden or not granted; the response does not say which.
    #[error("Resource not found: {uri}")]
    UnknownResource {
        /// Requested URI.
        uri: String,
        /// True if the request was framed as modern. The eras use different error codes.
        modern: bool,
    },
    /// The cursor is not valid for the current state of this list and this caller.
    #[error("the cursor is not valid, or the list has changed: list from the start")]
    BadCursor,
    /// Modern: the request needs a capability that it does not declare. Holds the missing capabilities in the form of
    /// a ClientCapabilities object.
    #[error("the request does not declare a client capability that this needs")]
    MissingCapability(serde_json::Value),
    /// The gateway resource has fields that this proxy does not understand, so its requests are denied.
    #[error("this gateway is not available here")]
    GatewayDenied,
    /// The record of the gateway in the store cannot be read.
    #[error(
        "the configuration of this gateway cannot be read: its operator finds the reason in the log of the control plane"
    )]
    GatewayUnreadable,
    /// The caller's quota is exhausted. Holds the time until a retry, in seconds.
    #[error("too many requests: retry in {0} s")]
    TooManyRequests(u32),
    /// The quota of a configured rate limit is exhausted. The response names the key of the limit, but neither its
    /// numbers nor the object that carries it.
    #[error("too many requests: the rate limit per {per} is reached, retry in {seconds} s")]
    RateLimited {
        /// Key of the limit.
        per: RateLimitKey,
        /// Time until a retry, in seconds.
        seconds: u32,
    },
    /// The proxy is overloaded or shutting down.
    #[error("overloaded: retry soon")]
    Overloaded,
    /// The proxy has not received a configuration yet.
    #[error(
        "this proxy has no configuration yet: retry soon; for operators: `/readyz?verbose` of its private port names what it waits for"
    )]
    NotConfigured,
    /// The caller's limit of open items is reached. Holds the plural noun of the items.
    #[error("too many of your {0} are open: end some of them, or retry later")]
    TooManyOpen(&'static str),
    /// The call failed at the upstream server.
    #[error("{0}")]
    Upstream(#[from] UpstreamFailure),
    /// The connection to the peer that owns the session broke during the request.
    #[error(
        "the proxy that keeps this session went away while it answered; the request may have taken effect"
    )]
    PeerLost,
    /// Internal error.
    #[error("internal error")]
    Internal,
}

/// Failure of an upstream call. Never carries a URL, a body or a status of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamFailure {
    /// The connection could not be established; nothing was sent.
    Unreachable,
    /// The circuit breaker is open; nothing was sent.
    CircuitOpen,
    /// The limit of concurrent calls to the server is reached; nothing was sent.
    Busy,
    /// The caller's limit of open items at servers is reached; nothing was sent.
    TooManyOpen(&'static str),
    /// The memory limit for buffered responses was reached before the call; nothing was sent.
    Overloaded,
    /// The proxy had no descriptor, port or memory of its own for a connection; nothing was sent.
    ResourcesExhausted,
    /// The response timed out. The tool may have run.
    Timeout,
    /// The connection broke. The tool may have run.
    Broken,
    /// The HTTP status is not that of a response.
    Status,
    /// The HTTP status is one of a fault of the server (5xx). The tool may have run.
    ServerError,
    /// The server reports a loop of requests (HTTP 508): it leads back to this deployment, or to itself.
    Loop,
    /// The server rejected the credential, or the credential could not be resolved.
    Credential,
    /// The server limits the rate of calls.
    RateLimited,
    /// The server's message is not a valid response.
    Malformed,
    /// The response is nested deeper than the limit. The tool may have run.
    TooDeep,
    /// The response exceeds the size limit. The tool may have run.
    TooLarge,
    /// The server's `requestState` exceeds the size limit for encrypted states, regardless of the response limit.
    StateTooLarge,
    /// The response exceeded a limit only after names and URIs were rewritten. The tool may have run.
    TooLargeAfterRewrite,
    /// The server sent too many messages before its response. The tool may have run.
    TooManyMessages,
    /// The memory limit for buffered responses was reached. The tool may have run.
    ResponseBufferFull,
    /// The server requests input that the client does not support or that may not be relayed.
    NeedsInput,
    /// The server requested input that the client did not provide.
    InputNotGiven,
    /// The server no longer knows the gateway's session. The call is not sent again.
    SessionLost,
}

impl Refusal {
    /// HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoSuchPath | Self::UnknownSession => 404,
            Self::MethodNotFound { modern: true, .. } => 404,
            Self::MethodNotAllowed => 405,
            Self::Host | Self::Origin => 403,
            Self::Unauthenticated => 401,
            Self::InvalidToken(fault) => fault.status(),
            Self::NotAcceptable(_) => 406,
            Self::MediaType | Self::ContentCoding => 415,
            Self::BodyTooLarge(_) => 413,
            Self::BodyTimeout => 408,
            Self::Frame(_)
            | Self::InvalidRequest(_)
            | Self::HeaderMismatch(_)
            | Self::UnsupportedVersion(_)
            | Self::LegacyVersion
            | Self::MissingMeta(_)
            | Self::MissingSession
            | Self::MissingCapability(_) => 400,
            Self::MethodNotFound { modern: false, .. }
            | Self::InvalidParams(_)
            | Self::UnknownTool(_)
            | Self::UnknownPrompt(_)
            | Self::UnknownResource { .. }
            | Self::BadCursor
            | Self::Upstream(_) => 200,
            Self::GatewayDenied
            | Self::GatewayUnreadable
            | Self::Overloaded
            | Self::NotConfigured => 503,
            Self::TooManyRequests(_) | Self::RateLimited { .. } | Self::TooManyOpen(_) => 429,
            Self::PeerLost => 502,
            Self::Loop(_) => 508,
            Self::Internal => 500,
        }
    }

    /// JSON-RPC error of the response.
    pub fn rpc(&self) -> RpcError {
        let text = self.to_string();
        match self {
            Self::Frame(error) => error.to_rpc(),
            Self::HeaderMismatch(_) => RpcError::header_mismatch(text),
            Self::UnsupportedVersion(requested) => {
                RpcError::unsupported_version(requested, &versions::ALL)
            }
            Self::MissingCapability(required) => RpcError::missing_capability(required.clone()),
            Self::MethodNotFound { method, .. } => RpcError::method_not_found(method),
            Self::MissingMeta(_) | Self::InvalidParams(_) | Self::BadCursor => {
                RpcError::invalid_params(text)
            }
            Self::UnknownTool(_) | Self::UnknownPrompt(_) => {
                RpcError::invalid_params(text).with(json!({ DATA_REFUSAL: self.kind() }))
            }
            Self::UnknownResource { uri, modern } => {
                RpcError::resource_not_found(text, *modern).with(json!({ "uri": uri }))
            }
            Self::NoSuchPath
            | Self::MethodNotAllowed
            | Self::Host
            | Self::Origin
            | Self::Unauthenticated
            | Self::InvalidToken(_)
            | Self::NotAcceptable(_)
            | Self::MediaType
            | Self::ContentCoding
            | Self::BodyTooLarge(_)
            | Self::BodyTimeout
            | Self::InvalidRequest(_)
            | Self::LegacyVersion
            | Self::MissingSession
            | Self::UnknownSession => RpcError::invalid_request(text),
            Self::TooManyRequests(seconds) => {
                RpcError::internal(text).with(json!({ "retryAfter": seconds }))
            }
            Self::RateLimited { per, seconds } => RpcError::internal(text)
                .with(json!({ "retryAfter": seconds, "limit": per.as_str() })),
            Self::GatewayDenied | Self::GatewayUnreadable | Self::Loop(_) => {
                RpcError::internal(text).with(json!({ DATA_REFUSAL: self.kind() }))
            }
            Self::Overloaded
            | Self::NotConfigured
            | Self::TooManyOpen(_)
            | Self::Upstream(_)
            | Self::PeerLost
            | Self::Internal => RpcError::internal(text),
        }
    }

    /// Value of `Retry-After`, in seconds.
    pub fn retry_after(&self) -> Option<u32> {
        if let Self::TooManyRequests(seconds) | Self::RateLimited { seconds, .. } = self {
            return Some(*seconds);
        }
        matches!(
            self,
            Self::Overloaded | Self::NotConfigured | Self::TooManyOpen(_)
        )
        .then_some(1)
    }

    /// Returns the tool, prompt or method that the refused request named.
    pub fn requested_name(&self) -> Option<&str> {
        if let Self::UnknownTool(name)
        | Self::UnknownPrompt(name)
        | Self::MethodNotFound { method: name, .. } = self
        {
            return Some(name);
        }
        None
    }

    /// Label for metrics and logs: one of a small fixed set, never text from a client.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchPath => "no_such_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Unauthenticated => "unauthenticated",
            Self::Loop(reason) => reason.kind(),
            Self::InvalidToken(fault) => fault.kind(),
            Self::NotAcceptable(_) => "not_acceptable",
            Self::MediaType => "media_type",
            Self::ContentCoding => "content_coding",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Frame(_) => "frame",
            Self::InvalidRequest(_) => "invalid_request",
            Self::HeaderMismatch(_) => "header_mismatch",
            Self::UnsupportedVersion(_) => "unsupported_version",
            Self::LegacyVersion => "legacy_version",
            Self::MissingMeta(_) => "missing_meta",
            Self::MissingSession => "missing_session",
            Self::UnknownSession => "unknown_session",
            Self::MethodNotFound { .. } => "method_not_found",
            Self::InvalidParams(_) => "invalid_params",
            Self::UnknownTool(_) => "unknown_tool",
            Self::UnknownPrompt(_) => "unknown_prompt",
            Self::UnknownResource { .. } => "unknown_resource",
            Self::BadCursor => "bad_cursor",
            Self::MissingCapability(_) => "missing_capability",
            Self::GatewayDenied => "gateway_denied",
            Self::GatewayUnreadable => "gateway_unreadable",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::RateLimited { per, .. } => rate_limit_kind(*per),
            Self::Overloaded => "overloaded",
            Self::NotConfigured => "not_configured",
            Self::TooManyOpen(_) => "too_many_open",
            Self::Upstream(failure) => failure.kind(),
            Self::PeerLost => "peer_lost",
            Self::Internal => "internal",
        }
    }
}

/// Label of a refusal by a rate limit.
const fn rate_limit_kind(per: RateLimitKey) -> &'static str {
    match per {
        RateLimitKey::Token => "rate_limit_token",
        RateLimitKey::Principal => "rate_limit_principal",
        RateLimitKey::Team => "rate_limit_team",
        RateLimitKey::Tool => "rate_limit_tool",
        RateLimitKey::Server => "rate_limit_server",
        RateLimitKey::Gateway => "rate_limit_gateway",
        RateLimitKey::Organization => "rate_limit_organization",
    }
}

impl UpstreamFailure {
    /// Error text; `noun` names the target of the call, for example "tool".
    pub fn message_for(self, noun: &str) -> String {
        match self {
            Self::Unreachable => format!("the server of this {noun} cannot be reached"),
            Self::CircuitOpen => format!(
                "the server of this {noun} has been failing and is given a pause: retry later"
            ),
            Self::Busy => {
                format!("the server of this {noun} is busy: retry in 1 s; nothing was sent")
            }
            Self::TooManyOpen(items) => format!(
                "too many of your {items} are open: end some of them, or retry later; \
                 nothing was sent"
            ),
            Self::Overloaded => {
                "the gateway is overloaded with answers: retry in 1 s; nothing was sent".to_owned()
            }
            Self::ResourcesExhausted => {
                "the gateway is overloaded with connections: retry in 1 s; nothing was sent"
                    .to_owned()
            }
            Self::Timeout => format!(
                "the server of this {noun} did not answer in time; the call may have taken effect"
            ),
            Self::Broken => format!(
                "the connection to the server of this {noun} broke; \
                 the call may have taken effect"
            ),
            Self::Status => format!("the server of this {noun} refused the request"),
            Self::ServerError => {
                format!("the server of this {noun} failed; the call may have taken effect")
            }
            Self::Loop => format!(
                "the server of this {noun} reports that its requests run in a loop: ask your administrator"
            ),
            Self::Credential => format!(
                "the server of this {noun} does not accept its credential: ask your administrator"
            ),
            Self::RateLimited => {
                format!("the server of this {noun} asks to slow down: retry later")
            }
            Self::Malformed => format!("the server of this {noun} sent an invalid answer"),
            Self::TooDeep => format!(
                "the answer of the server of this {noun} is nested more than {} levels deep; \
                 the call may have taken effect",
                FrameLimits::SERVER_MESSAGE.depth
            ),
            Self::TooLarge => format!(
                "the answer of the server of this {noun} is too large; \
                 the call may have taken effect"
            ),
            Self::StateTooLarge => format!(
                "the server of this {noun} entrusts more to its client (`requestState`) than \
                 the 48 KiB that the gateway carries"
            ),
            Self::TooLargeAfterRewrite => format!(
                "the answer of the server of this {noun} is too large with the addresses that the \
                 gateway gives to what it names; the call may have taken effect"
            ),
            Self::TooManyMessages => format!(
                "the server of this {noun} says too much before it answers; \
                 the call may have taken effect"
            ),
            Self::ResponseBufferFull => "the gateway is overloaded with answers: retry later; \
                 the call may have taken effect"
                .to_owned(),
            Self::NeedsInput => format!("the {noun} asks for input that this client cannot give"),
            Self::InputNotGiven => format!("the {noun} asked for input that was not given"),
            Self::SessionLost => format!("the server of this {noun} lost our session: retry"),
        }
    }

    /// Label for metrics, logs and programs that call tools.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Unreachable => "upstream_unreachable",
            Self::CircuitOpen => "upstream_circuit_open",
            Self::Busy => "upstream_busy",
            Self::TooManyOpen(_) => "upstream_too_many_open",
            Self::Overloaded => "upstream_overloaded",
            Self::ResourcesExhausted => "upstream_resources_exhausted",
            Self::Timeout => "upstream_timeout",
            Self::Broken => "upstream_broken",
            Self::Status => "upstream_status",
            Self::ServerError => "upstream_server_error",
            Self::Loop => "upstream_loop",
            Self::Credential => "upstream_credential",
            Self::RateLimited => "upstream_rate_limited",
            Self::Malformed => "upstream_malformed",
            Self::TooDeep => "upstream_too_deep",
            Self::TooLarge => "upstream_too_large",
            Self::TooManyMessages => "upstream_too_much",
            Self::StateTooLarge => "upstream_state_too_large",
            Self::TooLargeAfterRewrite => "upstream_outgrown",
            Self::ResponseBufferFull => "upstream_no_room",
            Self::NeedsInput => "upstream_needs_input",
            Self::InputNotGiven => "upstream_unanswered",
            Self::SessionLost => "upstream_session_lost",
        }
    }
}

impl fmt::Display for UpstreamFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message_for("tool"))
    }
}

#[cfg(test)]
mod tests;
