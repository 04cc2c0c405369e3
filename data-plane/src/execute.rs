//! Carrying out a plan, and saying what came of it.

mod call;
mod party;
mod streams;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use toolgate_data_core::{
    Caller, GatewayView, Plan, Refusal,
    plan::InitializePlan,
    seal::SealContext,
    segmented_bytes::SegmentedBytes as Pieces,
    session::session_id::{self, SessionClaims},
};
use toolgate_ingress::{
    ResponseBody,
    response::{empty_response, json},
};
use toolgate_runtime::random;
use toolgate_session::{Heard, SessionContext};

use crate::{
    config_source::{ConfigSource, KeySet as _},
    limit::RequestPermit,
    pipeline::{Answer, Refused, respond_refused},
    proxy_state::ProxyState,
    request_metrics::RequestMeasurement,
    session_header::SessionHeader,
    streamed::Streamed,
    transport_request::{self, TransportRequest},
};

/// A decision, with what it takes to carry it out.
pub(crate) struct Work {
    pub(crate) plan: Plan,
    pub(crate) received: TransportRequest,
    pub(crate) session: SessionHeader,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    /// Whether a stream can be sent. The head itself is gone by now: it would keep the connection's buffer.
    pub(crate) events: Result<(), Refusal>,
    pub(crate) place: RequestPermit,
}

/// Does it.
pub(crate) async fn execute<S: ConfigSource>(
    plane: &Arc<ProxyState<S>>,
    work: Work,
    account: RequestMeasurement,
) -> Answer {
    let Work {
        plan,
        received,
        session,
        gateway,
        caller,
        events,
        place,
    } = work;
    let subject = session.facts().map(|facts| SessionContext {
        facts,
        gateway: &gateway,
        caller: &caller,
    });
    let done = match plan {
        Plan::Call(plan) => {
            let body = received.body();
            let principal = Arc::clone(caller.principal());
            let session = session.facts().cloned();
            let errand = call::Errand {
                plan,
                body,
                principal,
                token: caller.token().hash,
                expires: caller.token().expires,
                session,
                place,
            };
            return call::call(plane, errand, account).await;
        }
        Plan::Respond(pieces) => Ok(said(pieces)),
        Plan::Initialize(initialize) => open_session(plane, &gateway, &caller, initialize),
        Plan::Initialized | Plan::Accept => Ok(empty_response(StatusCode::ACCEPTED)),
        Plan::SetLevel(level, pieces) => with(subject, |subject| {
            plane.sessions.set_level(subject, level)?;
            Ok(said(pieces))
        }),
        Plan::Subscribe(target, pieces) => {
            let watched = streams::watch(plane, subject, &target).await;
            watched.map(|()| said(pieces))
        }
        Plan::Unsubscribe(uri, pieces) => with(subject, |subject| {
            plane.sessions.unsubscribe_resource(subject.facts, &uri);
            Ok(said(pieces))
        }),
        Plan::OpenStream => streams::session(plane, subject, events, &place).await,
        Plan::Listen(listen) => {
            let scene = streams::Scene {
                gateway: &gateway,
                caller: &caller,
                place: &place,
            };
            streams::listen(plane, &listen, scene, events).await
        }
        Plan::CloseSession => with(subject, |subject| {
            plane.sessions.terminate(subject);
            plane.session_ended(subject);
            Ok(empty_response(StatusCode::OK))
        }),
        Plan::Cancel(id) => with(subject, |subject| {
            plane.in_flight.cancel(subject.facts, &id);
            Ok(empty_response(StatusCode::ACCEPTED))
        }),
        Plan::DeliverResponse(id) => with(subject, |subject| {
            hear(plane, subject, &id, received.body())
        }),
        Plan::Refuse(refusal) => Err(refusal),
    };
    conclude(done, &received, account)
}

fn conclude(
    done: Result<Answer, Refusal>,
    received: &TransportRequest,
    account: RequestMeasurement,
) -> Answer {
    match done {
        Ok(answer) => {
            account.answered();
            answer
        }
        Err(refusal) => {
            let id = received.id();
            respond_refused(&Refused { refusal, id }, account)
        }
    }
}

/// What the plan says of a session holds only within one; there always is one, or the plan is at fault.
fn with<'a>(
    subject: Option<SessionContext<'a>>,
    work: impl FnOnce(SessionContext<'a>) -> Result<Answer, Refusal>,
) -> Result<Answer, Refusal> {
    work(subject.ok_or(Refusal::Internal)?)
}

/// An answer goes to the call whose server asked. One that nobody waits for any more is accepted all the same: it may
/// have crossed a cancellation on its way.
fn hear<S: ConfigSource>(
    plane: &ProxyState<S>,
    subject: SessionContext<'_>,
    id: &str,
    frame: Bytes,
) -> Result<Answer, Refusal> {
    let principal = subject.caller.principal();
    match plane.questions.hear(subject.facts, principal, id) {
        Heard::By(id, asker) => asker.answers.give(id, frame),
        Heard::Nobody => {}
        Heard::Elsewhere(proxy) => {
            tracing::warn!(%proxy, "an answer came to the wrong proxy");
            return Err(Refusal::InvalidRequest(
                "another proxy asked this: it has to be answered there",
            ));
        }
    }
    Ok(empty_response(StatusCode::ACCEPTED))
}

fn said(pieces: Pieces) -> Answer {
    let mut answer = json(200, Bytes::new());
    *answer.body_mut() = body(pieces);
    answer
}

/// The body of these pieces.
fn body(pieces: Pieces) -> ResponseBody<Streamed> {
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

/// A stream of events, which nobody on the way may hold back.
fn events(stream: Streamed) -> Answer {
    let body = match stream {
        Streamed::Standing(_) => ResponseBody::LongLived(stream),
        Streamed::Call(_) | Streamed::Passed(_) => ResponseBody::Stream(stream),
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

/// The id is the session: nothing is kept here for one that only calls tools.
fn open_session<S: ConfigSource>(
    plane: &ProxyState<S>,
    gateway: &GatewayView,
    caller: &Caller,
    initialize: InitializePlan,
) -> Result<Answer, Refusal> {
    let facts = SessionClaims {
        version: initialize.version,
        capabilities: initialize.capabilities,
        issued: plane.clock.now(),
        random: random::bytes(),
        owner: plane.peers.this_proxy(),
    };
    let binding = SealContext {
        gateway: &gateway.name.id,
        principal: caller.principal(),
    };
    let keys = plane.source.keys().ok_or(Refusal::Overloaded)?;
    let id = session_id::mint(keys.sealer(), binding, &facts, &random::bytes());
    let id = HeaderValue::try_from(id).map_err(|_unsealed| Refusal::Internal)?;
    let mut answer = said(initialize.answer);
    answer.headers_mut().insert(transport_request::SESSION, id);
    Ok(answer)
}
