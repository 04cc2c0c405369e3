//! Decisions of the machine, one by one. All of them together are in `tests/interleavings`.

mod elicitations;
mod retries;
mod suspension;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    Plan,
    call::{
        elicitation::ElicitationId,
        event::{BodyKind, UpstreamHead},
    },
    fixture::{GatewayFixture, META, slug},
    session::session_id::ClientCapabilities,
};

const START: CallTime = CallTime {
    elapsed: Duration::ZERO,
    wall: Timestamp(1_000),
};

/// Id that all requests are sent with.
const UPSTREAM_ID: u64 = 42;

const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"roots":{}}"#;

fn later(milliseconds: u64) -> CallTime {
    let elapsed = Duration::from_millis(milliseconds);
    CallTime {
        elapsed,
        wall: START.wall.after(elapsed),
    }
}

/// Plan of a call by a client of one era to a server of another.
fn plan(client: Era, server: Era, extra: &str) -> Arc<CallPlan> {
    let mut world = GatewayFixture::new();
    world.session.capabilities = ClientCapabilities::read(CAPABILITIES.as_bytes());
    let tool = match server {
        Era::Legacy => "files__read",
        Era::Modern => "weather__now",
    };
    let meta = META.replace("{}", CAPABILITIES);
    let meta = match client {
        Era::Legacy => r#""progressToken":"p""#.to_owned(),
        Era::Modern => {
            format!(r#""progressToken":"p","io.modelcontextprotocol/logLevel":"info",{meta}"#)
        }
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{{"name":"{tool}","arguments":{{"x":"1"}}{extra},"_meta":{{{meta}}}}}}}"#
    );
    let planned = match client {
        Era::Legacy => world.legacy("all", &body),
        Era::Modern => world.modern("all", &body, &[]),
    };
    let Plan::Call(call) = planned else {
        panic!("{planned:?}");
    };
    call
}

fn of_plan(plan: &Arc<CallPlan>) -> CallMachine {
    CallMachine::new(CallOptions {
        log_level: plan.effective_log_level(None),
        plan: Arc::clone(plan),
        client_until: None,
    })
}

/// A call that was sent.
fn sent(client: Era, server: Era) -> CallMachine {
    let mut machine = of_plan(&plan(client, server, ""));
    assert_eq!(all(machine.start()), [CallEffect::SendUpstream(None)]);
    machine
}

/// A call whose server streams.
fn streaming(client: Era, server: Era) -> CallMachine {
    let mut machine = sent(client, server);
    assert_eq!(on(&mut machine, head(200, BodyKind::Stream)), []);
    machine
}

/// The head of a response in a session.
fn head(status: u16, body: BodyKind) -> CallEvent {
    response_head(status, body, true)
}

/// The head of a response of a server without sessions.
fn bare_head(status: u16, body: BodyKind) -> CallEvent {
    response_head(status, body, false)
}

fn response_head(status: u16, body: BodyKind, in_session: bool) -> CallEvent {
    CallEvent::UpstreamHead(UpstreamHead::Response {
        id: UPSTREAM_ID,
        status,
        in_session,
        body,
    })
}

fn all(effects: CallEffects) -> Vec<CallEffect> {
    effects.into_iter().collect()
}

fn on(machine: &mut CallMachine, event: CallEvent) -> Vec<CallEffect> {
    all(machine.on(event, START))
}

fn message(text: &str) -> CallEvent {
    CallEvent::UpstreamMessage(Bytes::from(text.to_owned()))
}

/// The answer to the request.
fn answer(result: &str) -> CallEvent {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"result":{result}}}"#
    ))
}

fn good() -> CallEvent {
    answer(r#"{"content":[]}"#)
}

/// A request of a legacy server.
fn asks(id: u8) -> CallEvent {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{"message":"Which?"}}}}"#
    ))
}

fn own(number: u8) -> ElicitationId {
    ElicitationId {
        proxy: slug("proxy-1"),
        random: [number; 16],
    }
}

/// The answer of a client.
fn client_answer(number: u8, result: &str) -> CallEvent {
    let name = own(number).name();
    let frame = format!(r#"{{"jsonrpc":"2.0","id":"{name}","result":{result}}}"#);
    CallEvent::ElicitationResponse(own(number), frame.into())
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The reply at the end, and the effects ahead of it.
fn end(effects: Vec<CallEffect>) -> (Vec<CallEffect>, Value) {
    let mut effects = effects;
    match effects.pop() {
        Some(CallEffect::Finish(CallEnd::ClientResponse(reply))) => {
            let body = value(&reply.body.to_bytes());
            (effects, body)
        }
        other => panic!("no end: {effects:?}, {other:?}"),
    }
}

fn failure_of(reply: &Value) -> &str {
    let meta = &reply["result"]["_meta"]["toolgate/failure"];
    meta.as_str().unwrap_or_default()
}

const ANSWERED: CallEffect = CallEffect::SettleUpstream(UpstreamVerdict::Answered);

fn failed_with(failure: UpstreamFailure, running: bool) -> CallEffect {
    CallEffect::SettleUpstream(UpstreamVerdict::Failed { failure, running })
}

#[test]
fn a_json_answer_is_two_steps_and_no_conversation() {
    for (client, server) in [
        (Era::Legacy, Era::Legacy),
        (Era::Legacy, Era::Modern),
        (Era::Modern, Era::Legacy),
        (Era::Modern, Era::Modern),
    ] {
        let mut machine = sent(client, server);
        assert!(!machine.reads_document());
        assert_eq!(on(&mut machine, head(200, BodyKind::Document)), []);
        assert!(machine.reads_document());
        assert_eq!(machine.wait(START), None);
        let (before, reply) = end(on(&mut machine, good()));
        assert_eq!(before, [ANSWERED]);
        assert_eq!(reply["id"], "c-1");
        assert!(machine.conversation.is_none(), "nothing was allocated");
        assert_eq!(machine.outlives_stream(), client == Era::Legacy);
        // The end is the end.
        assert_eq!(on(&mut machine, CallEvent::Cancel), []);
        assert_eq!(on(&mut machine, good()), []);
    }
}

#[test]
fn what_is_no_answer_is_explained_by_the_status_if_that_is_one_of_failure() {
    let malformed = UpstreamFailure::Malformed;
    for (status, told) in [(200, "upstream_malformed"), (400, "upstream_status")] {
        let mut machine = sent(Era::Modern, Era::Modern);
        assert_eq!(on(&mut machine, bare_head(status, BodyKind::Document)), []);
        let (before, reply) = end(on(&mut machine, message("<html>")));
        // All of the document was read: there is nothing to cancel.
        assert_eq!(before, [failed_with(malformed, false)]);
        assert_eq!(failure_of(&reply), told);
        for (body, running) in [(BodyKind::Other, false), (BodyKind::Empty, true)] {
            let mut machine = sent(Era::Legacy, Era::Legacy);
            let (before, reply) = end(on(&mut machine, bare_head(status, body)));
            assert_eq!(before, [failed_with(malformed, running)]);
            assert_eq!(failure_of(&reply), told);
        }
    }
}

#[test]
fn an_answer_under_a_status_of_a_server_error_is_delivered() {
    for status in [500, 502, 503, 504] {
        for (client, server) in [(Era::Modern, Era::Modern), (Era::Legacy, Era::Legacy)] {
            let mut machine = sent(client, server);
            assert_eq!(on(&mut machine, bare_head(status, BodyKind::Document)), []);
            let (before, reply) = end(on(&mut machine, good()));
            assert_eq!(before, [ANSWERED]);
            assert!(reply["result"]["content"].is_array(), "{reply}");
            let mut machine = sent(client, server);
            on(&mut machine, bare_head(status, BodyKind::Document));
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"error":{{"code":-32603,"message":"broken"}}}}"#
            );
            let (before, reply) = end(on(&mut machine, message(&error)));
            assert_eq!(before, [ANSWERED]);
            assert_eq!(reply["error"]["message"], "broken", "{reply}");
        }
    }
}

#[test]
fn a_server_error_without_an_answer_is_a_failure_of_the_server() {
    for (status, failure, told) in [
        (500, UpstreamFailure::ServerError, "upstream_server_error"),
        (503, UpstreamFailure::ServerError, "upstream_server_error"),
        (508, UpstreamFailure::Loop, "upstream_loop"),
        (504, UpstreamFailure::Timeout, "upstream_timeout"),
    ] {
        let mut machine = sent(Era::Modern, Era::Modern);
        assert_eq!(on(&mut machine, bare_head(status, BodyKind::Document)), []);
        let (before, reply) = end(on(&mut machine, message(r#"{"message":"oops"}"#)));
        assert_eq!(before, [failed_with(failure, false)]);
        assert_eq!(failure_of(&reply), told);
        for body in [BodyKind::Other, BodyKind::Empty] {
            let mut machine = sent(Era::Legacy, Era::Legacy);
            let (before, reply) = end(on(&mut machine, bare_head(status, body)));
            let running = failure == UpstreamFailure::Timeout;
            assert_eq!(before, [failed_with(failure, running)]);
            assert_eq!(failure_of(&reply), told);
        }
    }
}

#[test]
fn a_document_that_breaks_off_is_cancelled() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    on(&mut machine, head(200, BodyKind::Document));
    let large = UpstreamFailure::TooLarge;
    let (before, reply) = end(on(
        &mut machine,
        CallEvent::UpstreamEnd(UpstreamEnd::Failed(large)),
    ));
    assert_eq!(before, [failed_with(large, true)]);
    assert_eq!(failure_of(&reply), "upstream_too_large");
}

#[test]
fn held_progress_goes_out_before_the_answer() {
    let mut machine = streaming(Era::Legacy, Era::Modern);
    let progress = |value: u8| {
        message(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{UPSTREAM_ID},"progress":{value}}}}}"#
        ))
    };
    let count = (1..=20).filter(|n| !on(&mut machine, progress(*n)).is_empty());
    assert_eq!(count.count(), 6, "a burst passes");
    let wait = machine.wait(START).unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
    assert_eq!(on(&mut machine, CallEvent::Deadline), [], "not yet");
    let at = CallTime {
        elapsed: wait,
        ..START
    };
    assert!(matches!(
        all(machine.on(CallEvent::Deadline, at))[..],
        [CallEffect::SendClient(_)]
    ));
    on(&mut machine, progress(21));
    let (before, reply) = end(on(&mut machine, good()));
    let [
        CallEffect::SettleUpstream(UpstreamVerdict::Answered),
        CallEffect::SendClient(last),
    ] = &before[..]
    else {
        panic!("{before:?}");
    };
    assert_eq!(
        value(last)["params"],
        json!({"progressToken": "p", "progress": 21})
    );
    assert_eq!(reply["id"], "c-1");
}

#[test]
fn a_client_that_is_gone_is_sent_nothing_and_its_call_goes_on_in_the_legacy_era_only() {
    let note =
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":1}}"#;
    let mut legacy = streaming(Era::Legacy, Era::Legacy);
    assert_eq!(on(&mut legacy, message(note)).len(), 1);
    assert_eq!(on(&mut legacy, CallEvent::ClientDisconnected), []);
    assert_eq!(on(&mut legacy, message(note)), []);
    let refused = on(&mut legacy, asks(1));
    assert!(
        matches!(refused[..], [CallEffect::RespondUpstream(_)]),
        "{refused:?}"
    );
    let (before, _reply) = end(on(&mut legacy, good()));
    assert_eq!(before, [ANSWERED]);
    let mut modern = streaming(Era::Modern, Era::Legacy);
    let cancelled = CallEffect::Finish(CallEnd::Cancelled);
    assert_eq!(
        on(&mut modern, CallEvent::ClientDisconnected),
        [CallEffect::CancelUpstream, cancelled]
    );
}

#[test]
fn a_cancelled_call_is_cancelled_at_its_server_and_has_no_answer() {
    let mut sending = sent(Era::Legacy, Era::Legacy);
    let cancelled = [
        CallEffect::CancelUpstream,
        CallEffect::Finish(CallEnd::Cancelled),
    ];
    assert_eq!(on(&mut sending, CallEvent::Cancel), cancelled);
    assert_eq!(on(&mut sending, head(200, BodyKind::Stream)), []);
    let mut asked = streaming(Era::Legacy, Era::Legacy);
    on(&mut asked, asks(1));
    on(&mut asked, CallEvent::Registered(vec![Some(own(1))]));
    let [first, last] = cancelled;
    let close = CallEffect::CloseElicitation(own(1));
    assert_eq!(on(&mut asked, CallEvent::Cancel), [first, close, last]);
}

#[test]
fn an_interrupted_stream_is_resumed_or_the_call_fails() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    let broken = UpstreamFailure::Broken;
    let interrupted = CallEvent::UpstreamEnd(UpstreamEnd::Interrupted(broken));
    assert_eq!(
        on(&mut machine, interrupted),
        [CallEffect::ResumeStream(broken)]
    );
    let failed = CallEvent::UpstreamEnd(UpstreamEnd::Failed(broken));
    let (before, reply) = end(on(&mut machine, failed));
    assert_eq!(before, [failed_with(broken, true)], "it may still run");
    assert_eq!(failure_of(&reply), "upstream_broken");
}

#[test]
fn a_request_that_no_client_gets_is_refused() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    let ping = message(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    assert!(matches!(
        on(&mut machine, ping)[..],
        [CallEffect::RefuseUpstream(_)]
    ));
    let other =
        message(r#"{"jsonrpc":"2.0","id":8,"method":"sampling/createMessage","params":{}}"#);
    assert!(matches!(
        on(&mut machine, other)[..],
        [CallEffect::RefuseUpstream(_)]
    ));
}
