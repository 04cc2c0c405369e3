//! Executes plans of requests.

mod streams;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use toolgate_data_core::{
    Caller, GatewayView, Plan, Refusal,
    client_state::StateContext,
    plan::InitializePlan,
    segmented_bytes::SegmentedBytes as Pieces,
    session::session_id::{self, SessionClaims, SessionOpener},
};
use toolgate_ingress::{
    ResponseBody,
    response::{empty_response, json},
};
use toolgate_runtime::random;
use toolgate_session::{AnswerRecipient, SessionContext};

use crate::{
    call,
    config_source::{ConfigSource, KeySet as _},
    pipeline::{ClientHttpResponse, RequestRefusal, body_bytes, respond_refused},
    proxy_state::{ElicitingCall, ProxyState},
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
    session_header::SessionHeader,
    streamed::StreamBody,
    transport_request::{self, TransportRequest},
};

/// A request with its plan.
pub(crate) struct PlannedRequest {
    pub(crate) plan: Plan,
    pub(crate) received: TransportRequest,
    pub(crate) session: SessionHeader,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    /// Refusal of a stream, if the client does not accept one. The head of the request is dropped already: it would
    /// keep the buffer of the connection.
    pub(crate) events: Result<(), Refusal>,
    /// `CDN-Loop` of the client, copied.
    pub(crate) cdn_loop: Option<HeaderValue>,
    pub(crate) permit: RequestPermit,
}

/// Executes a plan.
pub(crate) async fn execute<S: ConfigSource>(
    state: &Arc<ProxyState<S>>,
    request: PlannedRequest,
    measurement: RequestMeasurement,
) -> ClientHttpResponse {
    if let Plan::Call(plan) = &request.plan {
        // The continuation of a suspended call sends nothing new to the server.
        let is_new = plan.continuation.is_none();
        let permitted = match is_new {
            true => state.before_call(&request.caller, plan),
            false => Ok(()),
        };
        if let Err(refusal) = permitted {
            let mut measurement = measurement;
            measurement.set_refused_call(plan);
            return conclude(Err(refusal), &request.received, measurement);
        }
        let context = call::context(state, Arc::clone(plan), &request, &measurement);
        return call::serve(state, context, request.permit, measurement).await;
    }
    let PlannedRequest {
        plan,
        received,
        session,
        gateway,
        caller,
        events,
        cdn_loop: _,
        permit,
    } = request;
    let subject = session.claims().map(|claims| SessionContext {
        claims,
        gateway: &gateway,
        caller: &caller,
    });
    let done = match plan {
        // Served above.
        Plan::Call(_) => Err(Refusal::Internal),
        Plan::Respond(pieces) => Ok(json_response(pieces)),
        Plan::Initialize(initialize) => open_session(state, &gateway, &caller, initialize),
        Plan::Initialized | Plan::Accept => Ok(empty_response(StatusCode::ACCEPTED)),
        Plan::SetLevel(level, pieces) => with(subject, |subject| {
            state.sessions.set_level(subject, level)?;
            Ok(json_response(pieces))
        }),
        Plan::Subscribe(target, pieces) => {
            let watched = streams::watch(state, subject, &target).await;
            watched.map(|()| json_response(pieces))
        }
        Plan::Unsubscribe(uri, pieces) => with(subject, |subject| {
            state.sessions.unsubscribe_resource(subject.claims, &uri);
            Ok(json_response(pieces))
        }),
        Plan::OpenStream => streams::session(state, subject, events, &permit).await,
        Plan::Listen(listen) => {
            let context = streams::ListenContext {
                gateway: &gateway,
                caller: &caller,
                permit: &permit,
            };
            streams::listen(state, &listen, context, events).await
        }
        Plan::CloseSession => with(subject, |subject| {
            state.sessions.terminate(subject);
            state.session_ended(subject);
            Ok(empty_response(StatusCode::OK))
        }),
        Plan::Cancel(id) => with(subject, |subject| {
            state.cancellable_calls.cancel(subject.claims, &id);
            Ok(empty_response(StatusCode::ACCEPTED))
        }),
        Plan::DeliverResponse(id) => with(subject, |subject| {
            answer_elicitation(state, subject, &id, received.body())
        }),
        Plan::Refuse(refusal) => Err(refusal),
    };
    conclude(done, &received, measurement)
}

fn conclude(
    done: Result<ClientHttpResponse, Refusal>,
    received: &TransportRequest,
    mut measurement: RequestMeasurement,
) -> ClientHttpResponse {
    match done {
        Ok(answer) => {
            measurement.add_response_bytes(body_bytes(&answer));
            measurement.answered();
            answer
        }
        Err(refusal) => {
            let id = received.id();
            respond_refused(&RequestRefusal { refusal, id }, measurement)
        }
    }
}

/// Runs `work` within the session of the request. A plan that needs a session is made only within one.
fn with<'a>(
    subject: Option<SessionContext<'a>>,
    work: impl FnOnce(SessionContext<'a>) -> Result<ClientHttpResponse, Refusal>,
) -> Result<ClientHttpResponse, Refusal> {
    work(subject.ok_or(Refusal::Internal)?)
}

/// Hands an answer to the call that waits for it. An answer without a recipient is accepted too: it may have crossed a
/// cancellation.
fn answer_elicitation<S: ConfigSource>(
    state: &ProxyState<S>,
    subject: SessionContext<'_>,
    id: &str,
    frame: Bytes,
) -> Result<ClientHttpResponse, Refusal> {
    let (principal, grant) = (subject.caller.principal(), subject.caller.grant());
    let granted = |call: &ElicitingCall| call.plan.target.is_granted(grant);
    match state
        .elicitations
        .take_recipient(subject.claims, principal, id, granted)
    {
        AnswerRecipient::Call(id, eliciting_call) => {
            eliciting_call.elicitation_responses.send(id, frame)
        }
        AnswerRecipient::Unknown => {}
        AnswerRecipient::OtherProxy(proxy) => {
            tracing::debug!(%proxy, "an answer came to the wrong proxy");
            return Err(Refusal::InvalidRequest(
                "another proxy asked this: it has to be answered there",
            ));
        }
    }
    Ok(empty_response(StatusCode::ACCEPTED))
}

fn json_response(pieces: Pieces) -> ClientHttpResponse {
    let mut answer = json(200, Bytes::new());
    *answer.body_mut() = body(pieces);
    answer
}

/// Builds a body of these pieces.
pub(crate) fn body(pieces: Pieces) -> ResponseBody<StreamBody> {
    let mut pieces = pieces.into_segments();
    match (pieces.pop(), pieces.is_empty()) {
        (Some(only), true) => ResponseBody::from(only),
        (Some(last), false) => {
            pieces.push(last);
            ResponseBody::from_chunks(pieces)
        }
        (None, _) => ResponseBody::Empty,
    }
}

/// Builds the answer of a stream of events, which intermediaries must not buffer.
pub(crate) fn events(stream: StreamBody) -> ClientHttpResponse {
    let body = match stream {
        StreamBody::LongLived(_) => ResponseBody::LongLived(stream),
        StreamBody::Call(_) | StreamBody::Forwarded(_) => ResponseBody::Stream(stream),
    };
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    let put = |name, value| (name, HeaderValue::from_static(value));
    headers.extend([
        put(header::CONTENT_TYPE, "text/event-stream"),
        put(header::CACHE_CONTROL, "no-store"),
        put(header::HeaderName::from_static("x-accel-buffering"), "no"),
    ]);
    answer
}

/// Opens a legacy session. Its id holds all of its state, so that nothing is stored for a session that only calls
/// tools.
fn open_session<S: ConfigSource>(
    state: &ProxyState<S>,
    gateway: &GatewayView,
    caller: &Caller,
    initialize: InitializePlan,
) -> Result<ClientHttpResponse, Refusal> {
    let claims = SessionClaims {
        version: initialize.version,
        capabilities: initialize.capabilities,
        issued: state.clock.now(),
        random: random::bytes(),
        owner: state.peers.this_proxy(),
        opener: SessionOpener::of(caller),
    };
    let context = StateContext {
        gateway: &gateway.name.id,
        principal: caller.principal(),
    };
    let keys = state.source.keys().ok_or(Refusal::NotConfigured)?;
    let id = session_id::mint(keys.cipher(), context, &claims, &random::bytes());
    let id = HeaderValue::try_from(id).map_err(|_plain| Refusal::Internal)?;
    let mut answer = json_response(initialize.answer);
    answer.headers_mut().insert(transport_request::SESSION, id);
    Ok(answer)
}
