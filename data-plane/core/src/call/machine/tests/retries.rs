//! A call is sent again only after an attempt that provably did not run.

use super::*;
use crate::call::retry::{PingOutcome, RetrySession, SessionRefusal};

fn failed(failure: UpstreamFailure, retryable: bool) -> CallEvent {
    CallEvent::UpstreamHead(UpstreamHead::Failed { failure, retryable })
}

fn refused_ping(status: u16) -> CallEvent {
    CallEvent::SessionProbed(PingOutcome::Refused(SessionRefusal::Status(status)))
}

#[test]
fn a_call_without_a_connection_is_sent_once_more() {
    let unreachable = UpstreamFailure::Unreachable;
    let mut machine = sent(Era::Modern, Era::Modern);
    let settled = failed_with(unreachable, false);
    let again = [settled.clone(), CallEffect::Retry(RetrySession::Same)];
    assert_eq!(on(&mut machine, failed(unreachable, true)), again);
    let (before, reply) = end(on(&mut machine, failed(unreachable, true)));
    assert_eq!(before, [settled]);
    assert_eq!(failure_of(&reply), "upstream_unreachable");
}

#[test]
fn a_call_that_may_have_run_is_never_sent_again() {
    for (failure, running) in [
        (UpstreamFailure::Broken, true),
        (UpstreamFailure::Timeout, true),
        (UpstreamFailure::Busy, false),
        (UpstreamFailure::ResourcesExhausted, false),
        (UpstreamFailure::Credential, false),
    ] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        let (before, reply) = end(on(&mut machine, failed(failure, false)));
        assert_eq!(before, [failed_with(failure, running)]);
        assert_eq!(failure_of(&reply), failure.kind());
    }
    for status in [429, 504] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        let effects = on(&mut machine, head(status, BodyKind::Other));
        assert!(matches!(
            effects[..],
            [CallEffect::SettleUpstream(_), CallEffect::Finish(_)]
        ));
    }
    for status in [500, 502, 503] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        let effects = on(&mut machine, head(status, BodyKind::Other));
        let later = SessionRefusal::Status(status);
        assert!(matches!(
            &effects[..],
            [CallEffect::SettleUpstream(_), CallEffect::ProbeSessionLater(probed), CallEffect::Finish(_)]
                if *probed == later
        ));
    }
}

#[test]
fn a_session_that_refuses_a_call_and_a_ping_alike_is_replaced_whatever_the_status() {
    for status in [400, 401, 403, 404, 405, 409, 410, 422, 440, 498] {
        for body in [BodyKind::Other, BodyKind::Document, BodyKind::Empty] {
            let mut machine = sent(Era::Legacy, Era::Legacy);
            assert_eq!(
                on(&mut machine, head(status, body)),
                [CallEffect::ProbeSession]
            );
            let again = [ANSWERED, CallEffect::Retry(RetrySession::New)];
            assert_eq!(on(&mut machine, refused_ping(status)), again, "{status}");
        }
    }
}

#[test]
fn a_refusal_in_a_usable_session_reaches_the_client() {
    for ping in [PingOutcome::Answered, PingOutcome::NoResponse] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        on(&mut machine, head(400, BodyKind::Document));
        assert_eq!(on(&mut machine, CallEvent::SessionProbed(ping)), []);
        let error = message(&format!(
            r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"error":{{"code":-32602,"message":"no such city"}}}}"#
        ));
        let (before, reply) = end(on(&mut machine, error));
        assert_eq!(before, [ANSWERED], "the session was probed before");
        assert_eq!(reply["error"]["message"], "no such city");
    }
}

#[test]
fn a_session_that_refuses_a_ping_in_another_way_is_discarded_and_the_call_is_not_repeated() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    on(&mut machine, head(404, BodyKind::Other));
    let (before, reply) = end(on(&mut machine, refused_ping(400)));
    assert_eq!(before[0], CallEffect::DiscardSession);
    assert_eq!(failure_of(&reply), "upstream_status");
}

/// Some servers send the answers of failed calls with a status of 5xx: only an error may concern the session.
#[test]
fn a_server_error_in_a_session_is_followed_by_a_probe_unless_it_carries_a_result() {
    let later = |status| CallEffect::ProbeSessionLater(SessionRefusal::Status(status));
    for status in [500, 503] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        assert_eq!(on(&mut machine, head(status, BodyKind::Document)), []);
        let (before, _reply) = end(on(&mut machine, good()));
        assert_eq!(before, [ANSWERED]);
        for body in [
            "<html>".to_owned(),
            format!(
                r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"error":{{"code":-32000,"message":"expired"}}}}"#
            ),
        ] {
            let mut machine = sent(Era::Legacy, Era::Legacy);
            on(&mut machine, head(status, BodyKind::Document));
            let (before, _reply) = end(on(&mut machine, message(&body)));
            assert_eq!(before.last(), Some(&later(status)), "{body}");
        }
    }
}

#[test]
fn a_json_rpc_error_in_a_session_is_followed_by_a_probe_and_never_repeated() {
    let error = || {
        message(&format!(
            r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"error":{{"code":-32000,"message":"session expired"}}}}"#
        ))
    };
    for body in [BodyKind::Document, BodyKind::Stream] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        on(&mut machine, head(200, body));
        let (before, reply) = end(on(&mut machine, error()));
        let later = CallEffect::ProbeSessionLater(SessionRefusal::Error(-32000));
        assert_eq!(before, [ANSWERED, later]);
        assert_eq!(reply["error"]["message"], "session expired");
    }
}

#[test]
fn a_forgotten_session_is_probed_and_replaced_once() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    let unknown = || head(404, BodyKind::Other);
    assert_eq!(on(&mut machine, unknown()), [CallEffect::ProbeSession]);
    let again = [ANSWERED, CallEffect::Retry(RetrySession::New)];
    assert_eq!(on(&mut machine, refused_ping(404)), again);
    assert_eq!(on(&mut machine, unknown()), [CallEffect::ProbeSession]);
    let (before, reply) = end(on(&mut machine, refused_ping(404)));
    assert_eq!(before, [ANSWERED, CallEffect::DiscardSession]);
    assert_eq!(failure_of(&reply), "upstream_session_lost");
}

#[test]
fn a_404_in_a_known_session_or_without_one_is_an_answer() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    on(&mut machine, head(404, BodyKind::Other));
    let (_before, reply) = end(on(
        &mut machine,
        CallEvent::SessionProbed(PingOutcome::Answered),
    ));
    assert_eq!(failure_of(&reply), "upstream_status");
    let mut modern = sent(Era::Modern, Era::Modern);
    let bare = CallEvent::UpstreamHead(UpstreamHead::Response {
        id: UPSTREAM_ID,
        status: 404,
        in_session: false,
        body: BodyKind::Document,
    });
    assert_eq!(on(&mut modern, bare), []);
    assert_eq!(
        on(&mut modern, refused_ping(404)),
        [],
        "it was not asked for"
    );
}

#[test]
fn a_session_whose_stream_has_ended_is_probed_too() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    let ended = CallEvent::UpstreamHead(UpstreamHead::SessionEnded);
    assert_eq!(on(&mut machine, ended), [CallEffect::ProbeSession]);
    let again = [CallEffect::Retry(RetrySession::New)];
    assert_eq!(
        on(
            &mut machine,
            CallEvent::SessionProbed(PingOutcome::StreamEnded)
        ),
        again
    );
    assert_eq!(on(&mut machine, head(200, BodyKind::Document)), []);
    assert!(machine.reads_document());
}
