//! Elicitations of legacy clients, in both directions and in rounds.

use super::*;
use crate::{
    call::{elicitation::GRACE_PERIOD, retry::InputResponses},
    rewrite::RelayAction,
};

fn registered(numbers: &[u8]) -> CallEvent {
    CallEvent::Registered(numbers.iter().map(|number| Some(own(*number))).collect())
}

#[test]
fn a_legacy_server_asks_and_is_answered_while_its_timeouts_are_held() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    assert_eq!(on(&mut machine, asks(7)), [CallEffect::AskClient(1)]);
    let out = on(&mut machine, registered(&[1]));
    let [CallEffect::SendClient(request), CallEffect::HoldTimeouts] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(value(request)["id"], own(1).name());
    assert_eq!(machine.pending_elicitations(), 1);
    let out = on(&mut machine, client_answer(1, r#"{"action":"accept"}"#));
    let [
        CallEffect::CloseElicitation(closed),
        CallEffect::RespondUpstream(response),
        CallEffect::ResumeTimeouts,
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(*closed, own(1));
    assert_eq!(value(response)["id"], 7);
    assert_eq!(on(&mut machine, client_answer(1, "{}")), [], "once");
}

#[test]
fn a_client_that_cannot_be_asked_is_refused_to_the_server() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    on(&mut machine, asks(7));
    // A second request before the ids of the first are there.
    let out = on(&mut machine, asks(8));
    assert!(
        matches!(out[..], [CallEffect::RespondUpstream(_)]),
        "{out:?}"
    );
    let out = on(&mut machine, CallEvent::Registered(vec![None]));
    assert!(
        matches!(out[..], [CallEffect::RespondUpstream(_)]),
        "{out:?}"
    );
    let unused = on(&mut machine, registered(&[5]));
    assert_eq!(unused, [CallEffect::CloseElicitation(own(5))]);
}

#[test]
fn a_withdrawn_request_is_withdrawn_from_the_client() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    on(&mut machine, asks(7));
    on(&mut machine, registered(&[1]));
    let back =
        message(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#);
    let out = on(&mut machine, back);
    assert!(
        matches!(
            out[..],
            [
                CallEffect::SendClient(_),
                CallEffect::CloseElicitation(_),
                CallEffect::ResumeTimeouts
            ]
        ),
        "{out:?}"
    );
}

#[test]
fn answers_are_awaited_for_a_moment_after_the_client_is_gone() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    on(&mut machine, asks(7));
    on(&mut machine, registered(&[1]));
    assert!(machine.wait(START).unwrap() > GRACE_PERIOD);
    assert_eq!(on(&mut machine, CallEvent::ClientDisconnected), []);
    assert_eq!(machine.wait(START), Some(GRACE_PERIOD));
    let out = all(machine.on(CallEvent::Deadline, later(10_000)));
    assert!(
        matches!(
            out[..],
            [
                CallEffect::CloseElicitation(_),
                CallEffect::RespondUpstream(_),
                CallEffect::ResumeTimeouts
            ]
        ),
        "{out:?}"
    );
}

#[test]
fn a_drained_proxy_waits_for_no_client() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    on(&mut machine, asks(7));
    on(&mut machine, registered(&[1]));
    let out = on(&mut machine, CallEvent::Drain);
    assert_eq!(machine.pending_elicitations(), 0);
    let told = out
        .iter()
        .filter(|effect| matches!(effect, CallEffect::RespondUpstream(_)));
    assert_eq!(told.count(), 1, "{out:?}");
    let out = on(&mut machine, asks(8));
    assert!(
        matches!(out[..], [CallEffect::RespondUpstream(_)]),
        "{out:?}"
    );
}

/// A modern server that requests a round: one form, and its own state.
fn round() -> CallEvent {
    answer(
        r#"{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"m"}}},"requestState":"s\u0031"}"#,
    )
}

#[test]
fn a_round_is_answered_and_the_call_sent_again_with_the_servers_state() {
    let mut machine = sent(Era::Legacy, Era::Modern);
    on(&mut machine, head(200, BodyKind::Document));
    let resting = CallEffect::SettleUpstream(UpstreamVerdict::Resting);
    assert_eq!(
        on(&mut machine, round()),
        [resting, CallEffect::AskClient(1)]
    );
    let out = on(&mut machine, registered(&[1]));
    assert!(matches!(out[..], [CallEffect::SendClient(_)]), "{out:?}");
    let out = on(&mut machine, client_answer(1, r#"{"action":"accept"}"#));
    let input_responses = InputResponses {
        responses: Some(Bytes::from_static(br#"{"k":{"action":"accept"}}"#)),
        state: Some(r#""s\u0031""#.into()),
    };
    let close = CallEffect::CloseElicitation(own(1));
    assert_eq!(
        out,
        [close, CallEffect::SendUpstream(Some(input_responses))]
    );
    on(&mut machine, head(200, BodyKind::Document));
    let (before, _reply) = end(on(&mut machine, good()));
    assert_eq!(before, [ANSWERED]);
}

#[test]
fn each_round_has_a_retry_of_its_own() {
    let mut machine = sent(Era::Legacy, Era::Modern);
    let unreachable = || {
        CallEvent::UpstreamHead(UpstreamHead::Failed {
            failure: UpstreamFailure::Unreachable,
            retryable: true,
        })
    };
    assert_eq!(on(&mut machine, unreachable()).len(), 2);
    on(&mut machine, head(200, BodyKind::Document));
    on(&mut machine, round());
    on(&mut machine, registered(&[1]));
    on(&mut machine, client_answer(1, "{}"));
    let again = on(&mut machine, unreachable());
    assert!(matches!(
        again[..],
        [CallEffect::SettleUpstream(_), CallEffect::Retry(_)]
    ));
}

#[test]
fn a_round_that_cannot_be_answered_ends_the_call() {
    let mut machine = sent(Era::Legacy, Era::Modern);
    on(&mut machine, head(200, BodyKind::Document));
    on(&mut machine, round());
    let (before, reply) = end(on(&mut machine, CallEvent::Registered(vec![None])));
    assert_eq!(before, [failed_with(UpstreamFailure::InputNotGiven, false)]);
    assert_eq!(failure_of(&reply), "upstream_unanswered");
}

#[test]
fn what_is_nobodys_to_answer_goes_back_at_once() {
    let mut machine = sent(Era::Legacy, Era::Modern);
    on(&mut machine, head(200, BodyKind::Document));
    let out = on(
        &mut machine,
        answer(r#"{"resultType":"input_required","requestState":"s"}"#),
    );
    let input_responses = InputResponses {
        responses: None,
        state: Some(r#""s""#.into()),
    };
    let resting = CallEffect::SettleUpstream(UpstreamVerdict::Resting);
    assert_eq!(
        out,
        [resting, CallEffect::SendUpstream(Some(input_responses))]
    );
}

#[test]
fn no_more_elicitations_are_pending_than_may_be() {
    let mut machine = streaming(Era::Legacy, Era::Legacy);
    let most = u8::try_from(crate::call::elicitation::MAX_PENDING).unwrap();
    for number in 0..most {
        on(&mut machine, asks(number));
        on(&mut machine, registered(&[number]));
    }
    assert_eq!(machine.pending_elicitations(), usize::from(most));
    on(&mut machine, asks(most));
    let out = on(&mut machine, registered(&[most]));
    let [
        CallEffect::CloseElicitation(closed),
        CallEffect::RespondUpstream(refusal),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(*closed, own(most));
    assert_eq!(value(refusal)["id"], most);
    assert_eq!(machine.pending_elicitations(), usize::from(most));
}

#[test]
fn progress_that_is_held_back_when_a_round_begins_goes_out_ahead_of_it() {
    let mut machine = streaming(Era::Legacy, Era::Modern);
    hold_progress_back(&mut machine, 0);
    let out = on(&mut machine, requires_roots());
    let [
        CallEffect::SendClient(progress),
        CallEffect::SettleUpstream(UpstreamVerdict::Resting),
        CallEffect::AskClient(1),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(value(progress)["method"], "notifications/progress");
    assert_eq!(machine.wait(later(60_000)), None, "nothing is left to send");
}

#[test]
fn nothing_is_due_after_a_deadline_in_any_phase() {
    let mut machine = streaming(Era::Legacy, Era::Modern);
    for (round, event) in (0..).zip([
        requires_roots(),
        registered(&[1]),
        client_answer(1, r#"{"roots":[]}"#),
        head(200, BodyKind::Document),
    ]) {
        on(&mut machine, event);
        hold_progress_back(&mut machine, 100 * round);
        let now = later(60_000);
        machine.on(CallEvent::Deadline, now);
        assert_ne!(machine.wait(now), Some(Duration::ZERO), "{machine:?}");
    }
    assert!(machine.reads_document());
}

/// Fills the limiter, so that it holds a notification back.
fn hold_progress_back(machine: &mut CallMachine, after: u32) {
    for progress in after + 1..=after + 20 {
        let notice = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{UPSTREAM_ID},"progress":{progress}}}}}"#
        );
        let relayed = machine.relay.on(&Bytes::from(notice));
        if let RelayAction::Progress(notice) = relayed {
            let _passed = machine
                .conversation()
                .limiter
                .progress(notice, START.elapsed);
        }
    }
    assert!(machine.conversation().limiter.due().is_some());
}

/// The answer of a modern server that requires the roots of its client.
fn requires_roots() -> CallEvent {
    answer(
        r#"{"resultType":"input_required","requestState":"s","inputRequests":{"r":{"method":"roots/list"}}}"#,
    )
}
