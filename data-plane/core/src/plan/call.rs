//! Plans of requests that a server answers, in both eras: the target, the authorization, and the data needed to
//! rewrite the request.

use std::{sync::Arc, time::Duration};

use toolgate_mcp::{
    ByteSpan, Envelope,
    headers::{ReceivedHeader, params::HeaderAnnotations},
    object,
    trace::TraceContext,
};
use toolgate_model::{Digest, Era, RelayPolicy};

use crate::{
    GatewayView, Refusal, ServerView,
    call::suspended,
    client_state::task::TaskIdCipher,
    plan::{
        ContinuationRequest, PlanInput, RequestTarget, ReturnedState, UrlElicitationResult,
        builtin_tools, continuation,
        find::{self, LocatedTarget, find, is_argument},
    },
    session::{LogLevel, session_id::ClientCapabilities},
};

/// Authorized call of a server.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// Gateway that the call goes through.
    pub gateway: Arc<GatewayView>,
    /// Target of the call.
    pub target: RequestTarget,
    /// Protocol of the client.
    pub client: ClientProtocol,
    /// Request id of the client, as written.
    pub id: Box<str>,
    /// Progress token of the client, as written.
    pub progress: Option<Box<str>>,
    /// Least severe log level requested in the call's `_meta`; modern clients only. See [`Self::effective_log_level`].
    pub log_level: Option<LogLevel>,
    /// Trace context of the client.
    pub trace: Option<CallTrace>,
    /// Suspended call that this request continues with the client's responses.
    pub continuation: Option<ContinuationRequest>,
    /// Request state of the server from an earlier response, which this call continues.
    pub returned_state: Option<ReturnedState>,
    /// Set if this call is repeated after the client was asked to visit URLs.
    pub url_elicitation_result: Option<UrlElicitationResult>,
    /// `true` for a request to a legacy server with answers to no question: `inputResponses` without `requestState`.
    pub has_stray_responses: bool,
    /// Cipher of the id if the call may become a task; `None` if it may not.
    pub task_cipher: Option<TaskIdCipher>,
    /// Spans of the request body that are rewritten.
    pub spans: CallSpans,
    pub(super) declared: ClientCapabilities,
}

/// Owned trace context of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTrace {
    /// `traceparent`.
    pub parent: Box<str>,
    /// `tracestate`.
    pub state: Option<Box<str>>,
    /// True if the request carries the trace in its `_meta` and not in its headers.
    pub in_meta: bool,
}

/// Protocol that a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProtocol {
    /// Session-based protocol.
    Legacy {
        /// Negotiated protocol version.
        version: &'static str,
        /// Capabilities that the client declared.
        capabilities: ClientCapabilities,
    },
    /// Stateless protocol.
    Modern {
        /// Capabilities that the client declared.
        capabilities: ClientCapabilities,
    },
}

/// Spans in the request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSpans {
    /// Request id.
    pub id: ByteSpan,
    /// `params`.
    pub params: ByteSpan,
    /// Name of the target: `params.name`, `params.uri`, or a member of `params.ref`.
    pub target_name: ByteSpan,
    /// Arguments for the server: `params.arguments`, or the inner arguments within [`Self::run_tool_arguments`].
    pub arguments: Option<ByteSpan>,
    /// Arguments of `run_tool`, for calls made through it. They are replaced by the inner arguments.
    pub run_tool_arguments: Option<ByteSpan>,
    /// `params._meta`.
    pub meta: Option<ByteSpan>,
}

impl CallPlan {
    /// Server that answers the call, in the era of the client if it speaks both.
    pub fn server(&self) -> &Arc<ServerView> {
        self.target.server().for_client(self.client.era())
    }

    /// Returns `true` if `requestState` and `inputResponses` of the request are left out of what the server gets.
    pub fn strips_continuation(&self) -> bool {
        self.is_continuation() || self.has_stray_responses
    }

    /// Returns `true` if the call goes on when the client closes its stream. Closing a stream cancels nothing in the
    /// legacy era.
    pub fn outlives_stream(&self) -> bool {
        matches!(self.client, ClientProtocol::Legacy { .. })
    }

    /// Maximum duration of the call, if the gateway configures one for this server.
    pub fn timeout(&self) -> Option<Duration> {
        self.gateway.timeout(self.server())
    }

    /// Capabilities to declare to the server: those of the client, limited to what the server may request.
    pub fn declared_capabilities(&self) -> ClientCapabilities {
        self.declared
    }

    /// Capabilities that the server may request of the client during this call.
    pub fn requestable_capabilities(&self) -> ClientCapabilities {
        if self.target.may_request_input() {
            self.declared_capabilities()
                .intersection(ClientCapabilities::SERVER_REQUESTS)
        } else {
            ClientCapabilities::default()
        }
    }

    /// Returns `true` if the client's `requestState` is addressed to the gateway and not to a server.
    pub fn is_continuation(&self) -> bool {
        self.continuation.is_some() || self.url_elicitation_result.is_some()
    }

    /// Digest that a retry of this call must match. `body` is the body that was planned.
    pub fn digest(&self, body: &[u8]) -> Option<Digest> {
        let arguments = self
            .spans
            .arguments
            .map_or(&b"{}"[..], |span| span.of(body));
        let name = self.target.exposed_name().unwrap_or_default();
        let server = self.server().identity();
        suspended::digest(&server, self.target.method(), name, arguments)
    }
}

/// Computes [`CallPlan::declared_capabilities`]; called once for each call.
pub(super) fn declared(
    gateway: &GatewayView,
    server: &ServerView,
    client: ClientProtocol,
) -> ClientCapabilities {
    let may = relayed_capabilities(server);
    let may = match client {
        ClientProtocol::Modern { .. }
            if gateway.features.task_servers.contains(&server.name.id) =>
        {
            may.union(ClientCapabilities::TASKS)
        }
        ClientProtocol::Modern { .. } | ClientProtocol::Legacy { .. } => may,
    };
    let may = match gateway.features.app_servers.contains(&server.name.id) {
        true => may.union(ClientCapabilities::APPS),
        false => may,
    };
    client.capabilities().intersection(may)
}

/// Capabilities that the server may request of clients.
fn relayed_capabilities(server: &ServerView) -> ClientCapabilities {
    let RelayPolicy {
        elicitation,
        sampling,
        roots,
    } = server.relay;
    let kinds = [
        (elicitation, ClientCapabilities::ELICITATION),
        (elicitation, ClientCapabilities::ELICITATION_URL),
        (sampling, ClientCapabilities::SAMPLING),
        (sampling, ClientCapabilities::SAMPLING_TOOLS),
        (roots, ClientCapabilities::ROOTS),
    ];
    let on = kinds.into_iter().filter(|(on, _)| *on);
    on.fold(ClientCapabilities::default(), |all, (_, kind)| {
        all.union(kind)
    })
}

impl From<TraceContext<'_>> for CallTrace {
    fn from(trace: TraceContext<'_>) -> Self {
        Self {
            parent: trace.parent.into(),
            state: trace.state.map(Box::from),
            in_meta: trace.in_meta,
        }
    }
}

impl ClientProtocol {
    /// Protocol era.
    pub fn era(self) -> Era {
        match self {
            Self::Legacy { .. } => Era::Legacy,
            Self::Modern { .. } => Era::Modern,
        }
    }

    /// Capabilities that the client declared.
    pub fn capabilities(self) -> ClientCapabilities {
        match self {
            Self::Legacy { capabilities, .. } | Self::Modern { capabilities } => capabilities,
        }
    }
}

impl CallPlan {
    /// Log level of the messages that the client receives, given the level set in its session. `None` disables log
    /// messages.
    pub fn effective_log_level(&self, session: Option<LogLevel>) -> Option<LogLevel> {
        match self.client {
            ClientProtocol::Modern { .. } => self.log_level,
            // Without `logging/setLevel` the level is left to the server; the client gets `info` and above.
            ClientProtocol::Legacy { .. } => Some(session.unwrap_or(LogLevel::Info)),
        }
    }

    /// Returns `true` if the client set the level itself and did not leave it to the server.
    pub fn sets_log_level(&self, session: Option<LogLevel>) -> bool {
        match self.client {
            ClientProtocol::Modern { .. } => self.log_level.is_some(),
            ClientProtocol::Legacy { .. } => session.is_some(),
        }
    }
}

/// Plans a request that a server answers. The standard headers of a modern request are already checked; the tool's own
/// `Mcp-Param-*` headers are checked here.
pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientProtocol,
    headers: Option<ParamHeaders<'_>>,
) -> Result<CallPlan, Refusal> {
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let params = envelope.params.as_ref();
    let params = params.ok_or_else(|| invalid("`params` must say for what"))?;
    let inner = builtin_tools::run(input, envelope).transpose()?;
    let LocatedTarget {
        target,
        name_span: subject,
    } = match &inner {
        None => find(input, envelope.method(), params, client.era())?,
        Some(inner) => find::find_inner(input, params, inner)?,
    };
    let reference = params.reference.as_ref();
    if let Some(member) = params.mistyped.or(reference.and_then(|it| it.mistyped)) {
        let text = format!("`{member}` has the wrong type");
        return Err(Refusal::InvalidParams(text.into()));
    }
    let meta = params.meta.as_ref();
    if let RequestTarget::Completion(_) = target {
        let argument = params.argument.map(|span| envelope.slice(span));
        let argument = argument.filter(|argument| is_argument(argument));
        argument.ok_or_else(|| invalid("`argument` must have a name and a value"))?;
    }
    let arguments_span = match &inner {
        None => params.arguments,
        Some(inner) => inner.arguments,
    };
    let arguments = arguments_span.map_or(&b"{}"[..], |span| envelope.slice(span));
    // Clients do not repeat arguments of a tool called through `run_tool` in headers.
    let headers = headers.filter(|_| inner.is_none());
    check_arguments(&target, arguments, headers)?;
    let log_level = meta.and_then(|meta| meta.log_level.as_ref());
    let log_level = log_level.map(|level| {
        LogLevel::parse(level.as_str()).ok_or_else(|| invalid("the log level is not known"))
    });
    let id = envelope.id.ok_or(Refusal::Internal)?;
    let progress = meta.and_then(|meta| meta.progress_token);
    let declared = declared(input.gateway, target.server(), client);
    let tasks = task_cipher(input, &target, declared);
    let call = CallPlan {
        gateway: Arc::clone(input.gateway),
        target,
        client,
        id: id.raw.into(),
        progress: progress.map(|token| token.raw.into()),
        log_level: log_level.transpose()?,
        trace: input.trace.map(CallTrace::from),
        continuation: None,
        returned_state: None,
        url_elicitation_result: None,
        has_stray_responses: false,
        task_cipher: tasks,
        declared,
        spans: CallSpans {
            id: id.span,
            params: params.span,
            target_name: subject,
            arguments: arguments_span,
            run_tool_arguments: inner.map(|inner| inner.run_tool_arguments),
            meta: meta.map(|meta| meta.span),
        },
    };
    continuation::complete(input, envelope, params, call)
}

/// Checks that the target accepts these arguments, and that headers repeat them where required.
fn check_arguments(
    target: &RequestTarget,
    arguments: &[u8],
    headers: Option<ParamHeaders<'_>>,
) -> Result<(), Refusal> {
    if let Some(own) = target.reserved_arguments() {
        own.check(arguments).map_err(Refusal::InvalidParams)?;
    }
    // The headers repeat the values parsed here. Ambiguous arguments are rejected, because the server could parse them
    // differently.
    let repeated = |annotations: &HeaderAnnotations| !annotations.is_empty();
    if target.upstream_header_annotations().is_some_and(repeated) && object::is_ambiguous(arguments)
    {
        let text = "`arguments` have a name twice, or too many names";
        return Err(Refusal::InvalidParams(text.into()));
    }
    if let (Some(headers), Some(annotations)) = (headers, target.header_annotations()) {
        let seen = |name: &str| seen(headers, name);
        annotations
            .check(arguments, seen)
            .map_err(|mismatch| Refusal::HeaderMismatch(mismatch.to_string()))?;
    }
    Ok(())
}

/// Cipher of the id of the task that a call may become, if its client supports tasks.
fn task_cipher(
    input: &PlanInput<'_>,
    target: &RequestTarget,
    declared: ClientCapabilities,
) -> Option<TaskIdCipher> {
    let follows = declared.contains(ClientCapabilities::TASKS) && target.tool().is_some();
    follows.then(|| TaskIdCipher {
        cipher: input.cipher.clone(),
        principal: Arc::clone(input.caller.principal()),
    })
}

/// `Mcp-Param-*` headers: name in lower case, and value.
pub(super) type ParamHeaders<'a> = &'a [(&'a str, &'a [u8])];

fn seen<'a>(headers: ParamHeaders<'a>, name: &str) -> ReceivedHeader<'a> {
    let named = headers.iter().filter(|(header, _)| *header == name);
    ReceivedHeader::of(named.map(|(_, value)| *value))
}
