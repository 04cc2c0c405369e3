//! Requests that a server answers, both eras: for what, may they, and what has to be known to rewrite the request.

use std::{sync::Arc, time::Duration};

use toolgate_mcp::{
    Envelope, Span,
    headers::{Seen, params::Annotations},
    object,
    trace::Trace,
};
use toolgate_model::{Digest, Era, RelayPolicy};

use crate::{
    GatewayView, Refusal, ServerView, parked,
    plan::{
        PlanInput, Retry, Returned, Target, Visited,
        find::{self, Found, find, is_argument},
        own, retry,
    },
    session::LogLevel,
    session_id::ClientCapabilities,
    task::TaskSeal,
};

/// A call that may be made.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// Through which gateway.
    pub gateway: Arc<GatewayView>,
    /// For what.
    pub target: Target,
    /// How the client speaks.
    pub client: ClientSide,
    /// The client's id for it, as written.
    pub id: Box<str>,
    /// The client's progress token, as written.
    pub progress: Option<Box<str>>,
    /// The least severe log message that the request asks for: modern clients only. See [`Self::log_level_with`].
    pub log_level: Option<LogLevel>,
    /// The trace that the client says it belongs to.
    pub trace: Option<CallTrace>,
    /// It is an earlier call, taken up again with the client's answers.
    pub retry: Option<Retry>,
    /// What the server entrusted to the client at an earlier call, which this one goes on with.
    pub returned: Option<Returned>,
    /// It is made once more, now that somebody has been at pages.
    pub visited: Option<Visited>,
    /// What seals the task that the server may make of it; none if it may not.
    pub tasks: Option<TaskSeal>,
    /// Where to change the request.
    pub spans: CallSpans,
    pub(super) declared: ClientCapabilities,
}

/// A trace, kept for as long as its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTrace {
    /// `traceparent`.
    pub parent: Box<str>,
    /// `tracestate`.
    pub state: Option<Box<str>>,
    /// Whether the request says so in its `_meta`, and not in its headers.
    pub in_meta: bool,
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSide {
    /// With a session.
    Legacy {
        /// The negotiated version.
        version: &'static str,
        /// What it declared.
        capabilities: ClientCapabilities,
    },
    /// Statelessly.
    Modern {
        /// What it declared.
        capabilities: ClientCapabilities,
    },
}

/// Places in the request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSpans {
    /// The id.
    pub id: Span,
    /// `params`.
    pub params: Span,
    /// What stands for the target: `params.name`, `params.uri`, or a member of `params.ref`.
    pub subject: Span,
    /// The arguments that the server gets: `params.arguments`, or what stands for it within [`Self::around`].
    pub arguments: Option<Span>,
    /// What of the request stands in the place of the arguments and goes no further, but for them: of calls that were made
    /// with `run_tool`.
    pub around: Option<Span>,
    /// `params._meta`.
    pub meta: Option<Span>,
}

impl CallPlan {
    /// The server that answers it.
    pub fn server(&self) -> &Arc<ServerView> {
        self.target.server()
    }

    /// The longest that it may take, where its gateway says more of it than its server.
    pub fn timeout(&self) -> Option<Duration> {
        self.gateway.timeout(self.server())
    }

    /// What is declared to the server: what its client declared, as far as the server may ask for it.
    pub fn declared(&self) -> ClientCapabilities {
        self.declared
    }

    /// What the server may ask of the client in this call.
    pub fn askable(&self) -> ClientCapabilities {
        if self.target.may_ask() {
            self.declared().within(ClientCapabilities::QUESTIONS)
        } else {
            ClientCapabilities::default()
        }
    }

    /// Whether what its client came back with is for us, and for no server.
    pub fn is_back(&self) -> bool {
        self.retry.is_some() || self.visited.is_some()
    }

    /// What a retry of it has to be equal to. `body` is what it was planned upon.
    pub fn digest(&self, body: &[u8]) -> Option<Digest> {
        let arguments = self
            .spans
            .arguments
            .map_or(&b"{}"[..], |span| span.of(body));
        let name = self.target.exposed().unwrap_or_default();
        let server = self.server().identity();
        parked::digest(&server, self.target.method(), name, arguments)
    }
}

/// See [`CallPlan::declared`]; worked out once for each call.
pub(super) fn declared(
    gateway: &GatewayView,
    server: &ServerView,
    client: ClientSide,
) -> ClientCapabilities {
    let may = relayed(server);
    let may = match client {
        ClientSide::Modern { .. } if gateway.offers.tasks.contains(&server.name.id) => {
            may.and(ClientCapabilities::TASKS)
        }
        ClientSide::Modern { .. } | ClientSide::Legacy { .. } => may,
    };
    let may = match gateway.offers.apps.contains(&server.name.id) {
        true => may.and(ClientCapabilities::APPS),
        false => may,
    };
    client.capabilities().within(may)
}

/// What a server may ask of clients.
fn relayed(server: &ServerView) -> ClientCapabilities {
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
        all.and(kind)
    })
}

impl From<Trace<'_>> for CallTrace {
    fn from(trace: Trace<'_>) -> Self {
        Self {
            parent: trace.parent.into(),
            state: trace.state.map(Box::from),
            in_meta: trace.in_meta,
        }
    }
}

impl ClientSide {
    /// The era.
    pub fn era(self) -> Era {
        match self {
            Self::Legacy { .. } => Era::Legacy,
            Self::Modern { .. } => Era::Modern,
        }
    }

    /// What it declared.
    pub fn capabilities(self) -> ClientCapabilities {
        match self {
            Self::Legacy { capabilities, .. } | Self::Modern { capabilities } => capabilities,
        }
    }
}

impl CallPlan {
    /// What log messages the client gets, given what its session remembers. None: no messages.
    pub fn log_level_with(&self, session: Option<LogLevel>) -> Option<LogLevel> {
        match self.client {
            ClientSide::Modern { .. } => self.log_level,
            // Who never set a level leaves it to the server: ordinary messages.
            ClientSide::Legacy { .. } => Some(session.unwrap_or(LogLevel::Info)),
        }
    }

    /// Whether they were asked for, and not left to the server.
    pub fn asks_for_log(&self, session: Option<LogLevel>) -> bool {
        match self.client {
            ClientSide::Modern { .. } => self.log_level.is_some(),
            ClientSide::Legacy { .. } => session.is_some(),
        }
    }
}

/// A request that a server answers. The headers of a modern one have been checked, but for those of the tool's own.
pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientSide,
    headers: Option<ParamHeaders<'_>>,
) -> Result<CallPlan, Refusal> {
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let params = envelope.params.as_ref();
    let params = params.ok_or_else(|| invalid("`params` must say for what"))?;
    let inner = own::run(input, envelope).transpose()?;
    let Found { target, subject } = match &inner {
        None => find(input, envelope.method(), params, client.era())?,
        Some(inner) => find::inner(input, params, inner)?,
    };
    let reference = params.reference.as_ref();
    if let Some(member) = params.mistyped.or(reference.and_then(|it| it.mistyped)) {
        let text = format!("`{member}` has the wrong type");
        return Err(Refusal::InvalidParams(text.into()));
    }
    let meta = params.meta.as_ref();
    if let Target::Completion(_) = target {
        let argument = params.argument.map(|span| envelope.slice(span));
        let argument = argument.filter(|argument| is_argument(argument));
        argument.ok_or_else(|| invalid("`argument` must have a name and a value"))?;
    }
    let place = match &inner {
        None => params.arguments,
        Some(inner) => inner.arguments,
    };
    let arguments = place.map_or(&b"{}"[..], |span| envelope.slice(span));
    // No client repeats arguments of a tool that it does not call itself.
    let headers = headers.filter(|_| inner.is_none());
    check(&target, arguments, headers)?;
    let log_level = meta.and_then(|meta| meta.log_level.as_ref());
    let log_level = log_level.map(|level| {
        LogLevel::parse(level.as_str()).ok_or_else(|| invalid("the log level is not known"))
    });
    let id = envelope.id.ok_or(Refusal::Internal)?;
    let progress = meta.and_then(|meta| meta.progress_token);
    let declared = declared(input.gateway, target.server(), client);
    let tasks = tasks(input, &target, declared);
    let call = CallPlan {
        gateway: Arc::clone(input.gateway),
        target,
        client,
        id: id.raw.into(),
        progress: progress.map(|token| token.raw.into()),
        log_level: log_level.transpose()?,
        trace: input.trace.map(CallTrace::from),
        retry: None,
        returned: None,
        visited: None,
        tasks,
        declared,
        spans: CallSpans {
            id: id.span,
            params: params.span,
            subject,
            arguments: place,
            around: inner.map(|inner| inner.around),
            meta: meta.map(|meta| meta.span),
        },
    };
    retry::take_up(input, envelope, params, call)
}

/// Whether the target takes these arguments, and headers repeat them where they have to.
fn check(
    target: &Target,
    arguments: &[u8],
    headers: Option<ParamHeaders<'_>>,
) -> Result<(), Refusal> {
    if let Some(own) = target.arguments() {
        own.check(arguments).map_err(Refusal::InvalidParams)?;
    }
    // What is repeated in a header is what we read; the server must not read anything else.
    let repeated = |annotations: &Annotations| !annotations.is_empty();
    if target.mirrored().is_some_and(repeated) && object::is_ambiguous(arguments) {
        let text = "`arguments` have a name twice, or too many names";
        return Err(Refusal::InvalidParams(text.into()));
    }
    if let (Some(headers), Some(annotations)) = (headers, target.params()) {
        let seen = |name: &str| seen(headers, name);
        annotations
            .check(arguments, seen)
            .map_err(|mismatch| Refusal::HeaderMismatch(mismatch.to_string()))?;
    }
    Ok(())
}

/// What seals the task that a call may become, if its client follows tasks.
fn tasks(input: &PlanInput<'_>, target: &Target, declared: ClientCapabilities) -> Option<TaskSeal> {
    let follows = declared.has(ClientCapabilities::TASKS) && target.tool().is_some();
    follows.then(|| TaskSeal {
        sealer: input.sealer.clone(),
        principal: Arc::clone(input.caller.principal()),
    })
}

/// Headers of one prefix: lower-case name, and value.
pub(super) type ParamHeaders<'a> = &'a [(&'a str, &'a [u8])];

fn seen<'a>(headers: ParamHeaders<'a>, name: &str) -> Seen<'a> {
    let named = headers.iter().filter(|(header, _)| *header == name);
    Seen::of(named.map(|(_, value)| *value))
}
