//! Carrying out a plan, and saying what came of it.

mod call;
mod party;
mod streams;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use toolgate_data_core::{
    Caller, GatewayView, Plan, Refusal,
    parts::Parts as Pieces,
    plan::Initialize,
    seal::Binding,
    session_id::{self, SessionFacts},
};
use toolgate_ingress::{
    Body,
    refuse::{empty, json},
};
use toolgate_runtime::random;
use toolgate_session::{Heard, Subject};

use crate::{
    account::Account,
    frame::{self, Received},
    limit::Place,
    pipeline::{Answer, Refused, respond_refused},
    plane::Plane,
    presented::Session,
    source::{KeySet as _, Source},
    streamed::Streamed,
};

/// A decision, with what it takes to carry it out.
pub(crate) struct Work {
    pub(crate) plan: Plan,
    pub(crate) received: Received,
    pub(crate) session: Session,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    /// Whether a stream can be sent. The head itself is gone by now: it would keep the connection's buffer.
    pub(crate) events: Result<(), Refusal>,
    pub(crate) place: Place,
}

/// Does it.
pub(crate) async fn execute<S: Source>(
    plane: &Arc<Plane<S>>,
    work: Work,
    account: Account,
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
    let subject = session.facts().map(|facts| Subject {
        facts,
        gateway: &gateway,
        caller: &caller,
    });
    let done = match plan {
        Plan::Call(plan) => {
            let body = received.posted();
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
        Plan::Answer(pieces) => Ok(said(pieces)),
        Plan::Initialize(initialize) => open_session(plane, &gateway, &caller, initialize),
        Plan::Initialized | Plan::Accept => Ok(empty(StatusCode::ACCEPTED)),
        Plan::SetLevel(level, pieces) => with(subject, |subject| {
            plane.sessions.set_level(subject, level)?;
            Ok(said(pieces))
        }),
        Plan::Subscribe(target, pieces) => {
            let watched = streams::watch(plane, subject, &target).await;
            watched.map(|()| said(pieces))
        }
        Plan::Unsubscribe(uri, pieces) => with(subject, |subject| {
            plane.sessions.unwatch(subject.facts, &uri);
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
            plane.conversation_over(subject);
            Ok(empty(StatusCode::OK))
        }),
        Plan::Cancel(id) => with(subject, |subject| {
            plane.in_flight.cancel(subject.facts, &id);
            Ok(empty(StatusCode::ACCEPTED))
        }),
        Plan::Hear(id) => with(subject, |subject| {
            hear(plane, subject, &id, received.posted())
        }),
        Plan::Refuse(refusal) => Err(refusal),
    };
    conclude(done, &received, account)
}

fn conclude(done: Result<Answer, Refusal>, received: &Received, account: Account) -> Answer {
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
    subject: Option<Subject<'a>>,
    work: impl FnOnce(Subject<'a>) -> Result<Answer, Refusal>,
) -> Result<Answer, Refusal> {
    work(subject.ok_or(Refusal::Internal)?)
}

/// An answer goes to the call whose server asked. One that nobody waits for any more is accepted all the same: it may
/// have crossed a cancellation on its way.
fn hear<S: Source>(
    plane: &Plane<S>,
    subject: Subject<'_>,
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
    Ok(empty(StatusCode::ACCEPTED))
}

fn said(pieces: Pieces) -> Answer {
    let mut answer = json(200, Bytes::new());
    *answer.body_mut() = body(pieces);
    answer
}

/// The body of these pieces.
fn body(pieces: Pieces) -> Body<Streamed> {
    let mut pieces = pieces.into_pieces();
    match (pieces.pop(), pieces.is_empty()) {
        (Some(only), true) => Body::from(only),
        (Some(last), false) => {
            pieces.push(last);
            Body::parts(pieces)
        }
        (None, _) => Body::Empty,
    }
}

/// A stream of events, which nobody on the way may hold back.
fn events(stream: Streamed) -> Answer {
    let body = match stream {
        Streamed::Standing(_) => Body::Standing(stream),
        Streamed::Call(_) | Streamed::Passed(_) => Body::Stream(stream),
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
fn open_session<S: Source>(
    plane: &Plane<S>,
    gateway: &GatewayView,
    caller: &Caller,
    initialize: Initialize,
) -> Result<Answer, Refusal> {
    let facts = SessionFacts {
        version: initialize.version,
        capabilities: initialize.capabilities,
        issued: plane.clock.now(),
        random: random::bytes(),
        home: plane.neighbours.here(),
    };
    let binding = Binding {
        gateway: &gateway.name.id,
        principal: caller.principal(),
    };
    let keys = plane.source.keys().ok_or(Refusal::Overloaded)?;
    let id = session_id::mint(keys.sealer(), binding, &facts, &random::bytes());
    let id = HeaderValue::try_from(id).map_err(|_unsealed| Refusal::Internal)?;
    let mut answer = said(initialize.answer);
    answer.headers_mut().insert(frame::SESSION, id);
    Ok(answer)
}
