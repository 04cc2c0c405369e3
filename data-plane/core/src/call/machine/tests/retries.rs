//! A call is sent again only after an attempt that provably did not run.

use super::*;
use crate::call::retry::RetrySession;

fn failed(failure: UpstreamFailure, not_sent: bool) -> CallEvent {
    CallEvent::UpstreamHead(UpstreamHead::Failed { failure, not_sent })
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
        (UpstreamFailure::Credential, false),
    ] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        let (before, reply) = end(on(&mut machine, failed(failure, false)));
        assert_eq!(before, [failed_with(failure, running)]);
        assert_eq!(failure_of(&reply), failure.kind());
    }
    for status in [401, 429, 500, 503, 504] {
        let mut machine = sent(Era::Legacy, Era::Legacy);
        let effects = on(&mut machine, head(status, BodyKind::Other));
        assert!(matches!(
            effects[..],
            [CallEffect::SettleUpstream(_), CallEffect::Finish(_)]
        ));
    }
}

#[test]
fn a_forgotten_session_is_probed_and_replaced_once() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    let unknown = || head(404, BodyKind::Other);
    assert_eq!(
        on(&mut machine, unknown()),
        [ANSWERED, CallEffect::ProbeSession]
    );
    let again = [CallEffect::Retry(RetrySession::New)];
    assert_eq!(on(&mut machine, CallEvent::SessionProbed(false)), again);
    let (before, reply) = end(on(&mut machine, unknown()));
    assert_eq!(before, [ANSWERED]);
    assert_eq!(failure_of(&reply), "upstream_session_lost");
}

#[test]
fn a_404_in_a_known_session_or_without_one_is_an_answer() {
    let mut machine = sent(Era::Legacy, Era::Legacy);
    on(&mut machine, head(404, BodyKind::Other));
    let (_before, reply) = end(on(&mut machine, CallEvent::SessionProbed(true)));
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
        on(&mut modern, CallEvent::SessionProbed(false)),
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
    assert_eq!(on(&mut machine, CallEvent::SessionProbed(false)), again);
    assert_eq!(on(&mut machine, head(200, BodyKind::Document)), []);
    assert!(machine.reads_document());
}
