//! Sends calls: one attempt each. Further attempts are decided by
//! [`CallMachine`](toolgate_data_core::call::CallMachine).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use toolgate_client::{ClientError, ReplyBody, ServerEndpoint, ServerReply, send};
use toolgate_data_core::{
    call::{
        InputResponses, PingOutcome, SessionRefusal, SessionVerdict, UpstreamHead,
        retry::session_verdict, verdict,
    },
    plan::CallPlan,
    port::{UpstreamSessionKey, UpstreamSessionProvider},
    refusal::UpstreamFailure,
    rewrite::UpstreamRequestOptions,
};
use toolgate_model::Era;
use toolgate_runtime::trace::TraceSpan;

use crate::{
    context::CallContext,
    endpoint::AuthenticatedEndpoint,
    failure,
    in_flight::{InFlightCall, UpstreamBody},
    log_level,
    outgoing::{outgoing, rewritten, version},
    registry::UpstreamRegistry,
    session::UpstreamSessionHandle,
    session_probe,
    shared_stream::open_shared_stream,
    subscriber::SharedStreamSubscriber,
    upstream::Upstream,
};

/// Sends calls to servers.
#[derive(Clone)]
pub struct UpstreamClient {
    registry: Arc<UpstreamRegistry>,
    sessions: Arc<dyn UpstreamSessionProvider<UpstreamSessionHandle>>,
}

/// Upstream session that an attempt is sent in. Modern servers have none.
pub enum SessionChoice {
    /// The session of the caller, which is opened if need be.
    Current,
    /// The session of the attempt before.
    Same {
        /// Session; `None` for a modern server.
        session: Option<Arc<UpstreamSessionHandle>>,
        /// Time until which a connection has to be made: both attempts have the limit for connecting together.
        connect_by: Option<Instant>,
    },
    /// A new session, in place of this one, which the server forgot.
    Replace(Arc<UpstreamSessionHandle>),
}

/// Result of one attempt.
pub struct SendReport {
    /// Head of the response, or the reason why there is none.
    pub head: UpstreamHead,
    /// The call, if the request may have been sent.
    pub call: Option<InFlightCall>,
    /// Session that was used.
    pub session: Option<Arc<UpstreamSessionHandle>>,
    /// Time until which a connection had to be made, if one may have been needed.
    pub connect_by: Option<Instant>,
}

impl SendReport {
    fn unsent(head: UpstreamHead, session: Option<Arc<UpstreamSessionHandle>>) -> Self {
        Self {
            head,
            call: None,
            session,
            connect_by: None,
        }
    }

    fn failed(failure: UpstreamFailure, session: Option<Arc<UpstreamSessionHandle>>) -> Self {
        let retryable = false;
        Self::unsent(UpstreamHead::Failed { failure, retryable }, session)
    }
}

impl UpstreamClient {
    /// Creates a client over `registry`, with the sessions of `sessions` for legacy servers.
    pub fn new(
        registry: Arc<UpstreamRegistry>,
        sessions: Arc<dyn UpstreamSessionProvider<UpstreamSessionHandle>>,
    ) -> Self {
        Self { registry, sessions }
    }

    /// Sends a call once and waits for the head of the response. With `input_responses`, the call goes back
    /// to a modern server that requested a round. Dropping the future cancels the call.
    pub async fn send(
        &self,
        context: &CallContext,
        input_responses: Option<&InputResponses>,
        session: SessionChoice,
    ) -> SendReport {
        let connect_by = match &session {
            SessionChoice::Same { connect_by, .. } => *connect_by,
            SessionChoice::Current | SessionChoice::Replace(_) => None,
        };
        match self.session(context, session).await {
            Ok(session) => {
                let attempt = self.attempt(context, input_responses, session.clone(), connect_by);
                let attempt = attempt.await;
                attempt.unwrap_or_else(|failure| SendReport::failed(failure, session))
            }
            Err(failure) => SendReport::failed(failure, None),
        }
    }

    /// Pings the server in a session in which a request was refused.
    pub async fn ping_session(
        &self,
        context: &CallContext,
        session: &UpstreamSessionHandle,
    ) -> PingOutcome {
        let (server, principal) = (context.plan.server(), &context.principal);
        session_probe::ping(&self.registry, (server, principal), session).await
    }

    /// Pings the server in the background, and discards the session if it is of no more use.
    pub fn probe_session_later(
        &self,
        context: &CallContext,
        session: Arc<UpstreamSessionHandle>,
        refusal: SessionRefusal,
    ) {
        if !session.begin_probe() {
            return;
        }
        let (client, context) = (self.clone(), context.clone());
        drop(self.registry.drain.spawn("session probe", async move {
            let ping = client.ping_session(&context, &session).await;
            if session_verdict(refusal, ping) != SessionVerdict::Usable {
                session.discard();
            }
            session.end_probe();
        }));
    }

    async fn session(
        &self,
        context: &CallContext,
        choice: SessionChoice,
    ) -> Result<Option<Arc<UpstreamSessionHandle>>, UpstreamFailure> {
        let server = context.plan.server();
        if let SessionChoice::Current = choice {
            // Checked first: a call whose answer has no room is not sent.
            self.registry.check_room(context.holder)?;
        }
        if server.era == Some(Era::Modern) {
            return Ok(None);
        }
        let key = || {
            let declared = context.plan.declared_capabilities();
            UpstreamSessionKey::new(server, &context.principal, context.conversation(), declared)
        };
        let session = match choice {
            SessionChoice::Same { session, .. } => return Ok(session),
            SessionChoice::Replace(lost) => self.sessions.reopen(&key(), &lost).await?,
            SessionChoice::Current => {
                let key = key();
                match self.sessions.established(&key) {
                    Some(session) => session,
                    None => self.sessions.open(&key).await?,
                }
            }
        };
        Ok(Some(session))
    }

    /// Opens the shared stream of the session, and subscribes the call to it if the server may send requests. The stream
    /// is open in any case: a request of the server that no client gets has to be refused, or the server waits.
    async fn subscribe(
        &self,
        plan: &CallPlan,
        session: Option<&Arc<UpstreamSessionHandle>>,
        upstream: &Arc<Upstream>,
        endpoint: &Arc<AuthenticatedEndpoint>,
    ) -> Option<SharedStreamSubscriber> {
        // An HTTP+SSE server sends everything on one stream.
        let session = session.filter(|session| session.http_sse().is_none())?;
        let may_request = !plan.requestable_capabilities().is_empty();
        // A server without sessions has no stream to send requests on.
        if may_request || session.has_id() {
            let drain = &self.registry.drain;
            open_shared_stream(session, upstream, endpoint, drain, may_request).await;
        }
        may_request.then(|| SharedStreamSubscriber::subscribe(&session.shared_stream_receivers))
    }

    /// Sends a call to the endpoint of the server that is nearest, or to the next one if no connection to it can be made. A
    /// session belongs to its endpoint, and ends with it.
    async fn attempt(
        &self,
        context: &CallContext,
        input_responses: Option<&InputResponses>,
        session: Option<Arc<UpstreamSessionHandle>>,
        mut connect_by: Option<Instant>,
    ) -> Result<SendReport, UpstreamFailure> {
        if session
            .as_deref()
            .is_some_and(UpstreamSessionHandle::is_lost)
        {
            return Ok(SendReport::unsent(UpstreamHead::SessionEnded, session));
        }
        let upstream = self.registry.upstream(context.plan.server())?;
        let mut others = upstream.target.endpoint_count() - 1;
        loop {
            let connecting = ConnectLimit { connect_by, others };
            let attempt = self.attempt_at_endpoint(
                &upstream,
                context,
                input_responses,
                session.clone(),
                connecting,
            );
            let attempt = attempt.await?;
            if others == 0 || !attempt.is_unreachable {
                return Ok(attempt.report);
            }
            others -= 1;
            connect_by = attempt.report.connect_by;
            if let Some(call) = attempt.report.call {
                call.abandon();
            }
            if session.is_some() {
                return Ok(SendReport::unsent(UpstreamHead::SessionEnded, session));
            }
        }
    }

    async fn attempt_at_endpoint(
        &self,
        upstream: &Arc<Upstream>,
        context: &CallContext,
        input_responses: Option<&InputResponses>,
        session: Option<Arc<UpstreamSessionHandle>>,
        connecting: ConnectLimit,
    ) -> Result<EndpointAttempt, UpstreamFailure> {
        let (plan, drain) = (&context.plan, &self.registry.drain);
        let server = plan.server();
        let permit = upstream.permit_for(context.holder)?;
        let authenticated = self
            .registry
            .authenticated_endpoint(upstream, &context.principal)
            .await?;
        let endpoint = authenticated.inside(session.as_deref());
        if let Some(session) = &session {
            log_level::set_level(session, context, upstream, &endpoint, drain).await;
        }
        let id = match &session {
            Some(session) => session.next_id(),
            None => toolgate_client::next_id(),
        };
        let version = version(server, session.as_deref());
        let span = span(context, version);
        let traceparent = span.as_ref().map(TraceSpan::traceparent);
        let options = UpstreamRequestOptions {
            era: session.as_ref().map_or(Era::Modern, |_| Era::Legacy),
            version,
            id,
            log_level: context.log_level,
            traceparent: traceparent.as_deref(),
        };
        let request = rewritten(context, &options, input_responses)?;
        let headers = outgoing(&request.headers, session.as_deref(), &options, context);
        let subscription = self.subscribe(plan, session.as_ref(), upstream, &endpoint);
        let subscriber = subscription.await;
        let in_session = session.clone().map(|session| (session, id));
        let call = InFlightCall::new(permit, Arc::clone(&endpoint), in_session, drain.clone());
        let mut call = call.traced(span);
        let shorter = |most: &Duration| *most < endpoint.endpoint.timeouts.total;
        let bounded = plan.timeout().filter(shorter);
        if bounded.is_some() {
            call.tolerate_timeout();
        }
        let (bounded, connect_by) = connecting.applied(&endpoint, bounded);
        let called = bounded.as_deref().unwrap_or(&endpoint.endpoint);
        let sent = send(&upstream.target.http, called, headers, request.body).await;
        let mut is_unreachable = false;
        let head = match sent {
            Ok(reply) => {
                let reply = reply.charge_to(context.holder);
                let status = reply.status.as_u16();
                describe_refusal(upstream, status);
                if verdict::of_status(status).is_none() {
                    upstream.record_endpoint_answer(&endpoint);
                }
                receive(reply, id, session.as_deref(), &mut call, subscriber)
            }
            Err(error) => {
                is_unreachable = error.is_endpoint_unreachable();
                if is_unreachable {
                    upstream.set_endpoint_aside(&endpoint, &error);
                }
                failed(upstream, &error)
            }
        };
        Ok(EndpointAttempt {
            report: SendReport {
                head,
                call: Some(call),
                session,
                connect_by: Some(connect_by),
            },
            is_unreachable,
        })
    }
}

/// Attempt at one endpoint.
struct EndpointAttempt {
    report: SendReport,
    /// `true` if no connection to the endpoint could be made, so that nothing was sent.
    is_unreachable: bool,
}

/// Limit for connecting, which all attempts of a call have together.
#[derive(Clone, Copy)]
struct ConnectLimit {
    /// Time until which a connection has to be made, if there was an attempt before.
    connect_by: Option<Instant>,
    /// Number of endpoints that may be tried after this one.
    others: usize,
}

impl ConnectLimit {
    /// Returns the endpoint with the limits of time of this attempt, if they are not the configured ones, and the time until
    /// which a connection has to be made. `most` limits the whole call.
    fn applied(
        self,
        endpoint: &AuthenticatedEndpoint,
        most: Option<Duration>,
    ) -> (Option<Box<ServerEndpoint>>, Instant) {
        let mut bounded = most.map(|most| endpoint.within(most));
        let configured = bounded.as_deref().unwrap_or(&endpoint.endpoint);
        let connect = configured.timeouts.connect;
        let now = Instant::now();
        let end = self.connect_by.unwrap_or(now + connect);
        if self.connect_by.is_some() || self.others > 0 {
            // Other endpoints are left their shares of the time.
            let sharing = u32::try_from(self.others + 1).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(now) / sharing;
            let bounded = bounded.get_or_insert_with(|| Box::new(endpoint.endpoint.clone()));
            bounded.timeouts.connect = share.min(connect);
        }
        (bounded, end)
    }
}

/// Keeps the description of a status that is a failure with any body.
fn describe_refusal(upstream: &Upstream, status: u16) {
    if let Some(failure) = verdict::of_status(status) {
        tracing::debug!(status, "a server refused a call");
        upstream.describe_failure(failure, &format!("the server answered HTTP {status}"));
    }
}

/// Returns the head of a call without a response.
fn failed(upstream: &Upstream, error: &ClientError) -> UpstreamHead {
    let failure = failure::of(error);
    tracing::debug!(server = %upstream.server.name, %error, "a server gave no answer");
    upstream.describe_failure(failure, &error.public_message());
    UpstreamHead::Failed {
        failure,
        retryable: failure::is_retryable(error),
    }
}

/// Hands the response to the call, and returns its head.
fn receive(
    reply: ServerReply,
    id: u64,
    session: Option<&UpstreamSessionHandle>,
    call: &mut InFlightCall,
    subscriber: Option<SharedStreamSubscriber>,
) -> UpstreamHead {
    let status = reply.status.as_u16();
    let body = match reply.body {
        ReplyBody::Json(body) => UpstreamBody::Document(body),
        ReplyBody::Sse(events) => UpstreamBody::Stream(events),
        ReplyBody::Accepted => UpstreamBody::Empty,
        ReplyBody::Other(_) => UpstreamBody::Other,
    };
    call.receive(body, subscriber);
    UpstreamHead::Response {
        id,
        status,
        in_session: session.is_some_and(|session| session.handshake.session_id.is_some()),
        body: call.body_kind(),
    }
}

/// Opens the span of the request, if the call is traced.
fn span(context: &CallContext, version: &str) -> Option<TraceSpan> {
    let (target, server) = (&context.plan.target, context.plan.server());
    let parent = context.trace.as_ref()?;
    let peer = (&*server.name.to_string(), version);
    Some(parent.client(target.method(), target.mcp_name(), peer))
}

#[cfg(test)]
mod tests;
