//! Modern clients: suspended calls, encrypted states, URL elicitations.

use super::*;
use crate::call::{
    batcher::BATCH_WINDOW, effect::EncryptionRequest, event::ContinuedCall,
    url_elicitation::MAX_URL_ELICITATIONS,
};

/// A call whose server has sent these requests, and whose batch is due.
fn due(ids: &[u8]) -> (CallMachine, Vec<CallEffect>) {
    let mut machine = streaming(Era::Modern, Era::Legacy);
    for id in ids {
        assert_eq!(on(&mut machine, asks(*id)), []);
    }
    assert_eq!(machine.wait(START), Some(BATCH_WINDOW));
    let effects = all(machine.on(CallEvent::Deadline, later(30)));
    (machine, effects)
}

fn continued(responses: &str) -> CallEvent {
    CallEvent::Continued(ContinuedCall {
        plan: plan(Era::Modern, Era::Legacy, ""),
        log_level: None,
        responses: Bytes::from(responses.to_owned()),
    })
}

fn encrypted(text: &str) -> CallEvent {
    CallEvent::Encrypted(Some(text.to_owned()))
}

#[test]
fn a_call_is_suspended_continued_in_part_and_continued() {
    let (mut machine, effects) = due(&[7, 8]);
    let ticket = CallEffect::Encrypt(EncryptionRequest::Ticket);
    assert_eq!(effects, [CallEffect::HoldTimeouts, ticket.clone()]);
    let out = on(&mut machine, encrypted("ticket"));
    let [CallEffect::Suspend(reply)] = &out[..] else {
        panic!("{out:?}");
    };
    let result = &value(&reply.body.to_bytes())["result"];
    assert_eq!(result["requestState"], "ticket");
    let asked = result["inputRequests"].as_object().unwrap();
    assert_eq!(
        asked.keys().collect::<Vec<_>>(),
        ["question-1", "question-2"]
    );
    // A suspended call waits for its client only.
    assert_eq!(on(&mut machine, good()), []);
    let out = on(
        &mut machine,
        continued(r#"{"question-2":{"action":"accept"}}"#),
    );
    let [CallEffect::RespondUpstream(response), again] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(
        value(response),
        json!({"jsonrpc": "2.0", "id": 8, "result": {"action": "accept"}})
    );
    assert_eq!(*again, ticket);
    let out = on(&mut machine, encrypted("another"));
    let [CallEffect::Suspend(reply)] = &out[..] else {
        panic!("{out:?}");
    };
    let left = &value(&reply.body.to_bytes())["result"]["inputRequests"];
    assert_eq!(left.as_object().unwrap().len(), 1, "{left}");
    let out = on(
        &mut machine,
        continued(r#"{"question-1":{"action":"decline"}}"#),
    );
    assert!(
        matches!(
            out[..],
            [CallEffect::RespondUpstream(_), CallEffect::ResumeTimeouts]
        ),
        "{out:?}"
    );
    let (before, _reply) = end(on(&mut machine, good()));
    assert_eq!(before, [ANSWERED]);
}

#[test]
fn a_call_that_cannot_be_suspended_goes_on() {
    for refused in [CallEvent::Encrypted(None), encrypted("ticket")] {
        let (mut machine, _effects) = due(&[7, 8]);
        let suspends = matches!(refused, CallEvent::Encrypted(Some(_)));
        let mut out = on(&mut machine, refused);
        if suspends {
            assert!(matches!(out[..], [CallEffect::Suspend(_)]));
            out = on(&mut machine, CallEvent::SuspensionRefused);
        }
        assert!(
            matches!(
                out[..],
                [
                    CallEffect::RespondUpstream(_),
                    CallEffect::RespondUpstream(_),
                    CallEffect::ResumeTimeouts
                ]
            ),
            "{out:?}"
        );
        let (before, _reply) = end(on(&mut machine, good()));
        assert_eq!(before, [ANSWERED]);
    }
}

#[test]
fn keys_of_elicitations_are_not_used_twice() {
    let (mut machine, _effects) = due(&[7]);
    on(&mut machine, encrypted("ticket"));
    on(&mut machine, continued(r#"{"question-1":{}}"#));
    on(&mut machine, asks(9));
    all(machine.on(CallEvent::Deadline, later(60)));
    let out = on(&mut machine, encrypted("ticket"));
    let [CallEffect::Suspend(reply)] = &out[..] else {
        panic!("{out:?}");
    };
    let asked = value(&reply.body.to_bytes())["result"]["inputRequests"].clone();
    assert!(asked.get("question-2").is_some(), "{asked}");
}

#[test]
fn the_state_of_a_modern_server_goes_out_encrypted_or_not_at_all() {
    for body in [BodyKind::Document, BodyKind::Stream] {
        let state = || {
            answer(
                r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}"#,
            )
        };
        let mut machine = sent(Era::Modern, Era::Modern);
        on(&mut machine, head(200, body));
        let encrypt = CallEffect::Encrypt(EncryptionRequest::RequestState(r#""s""#.into()));
        assert_eq!(on(&mut machine, state()), [encrypt]);
        let (before, reply) = end(on(&mut machine, encrypted("encrypted")));
        assert_eq!(before, [ANSWERED]);
        assert_eq!(reply["result"]["requestState"], "encrypted");
        let mut keyless = sent(Era::Modern, Era::Modern);
        on(&mut keyless, head(200, body));
        on(&mut keyless, state());
        let (_before, reply) = end(on(&mut keyless, CallEvent::Encrypted(None)));
        assert_eq!(failure_of(&reply), "upstream_needs_input");
    }
}

fn urls() -> CallEvent {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},"error":{{"code":-32042,"message":"go","data":{{"elicitations":[{{"mode":"url","elicitationId":"e","url":"https://x.example/a","message":"Sign in"}}]}}}}}}"#
    ))
}

#[test]
fn urls_to_visit_first_are_encrypted_and_the_call_is_not_cancelled() {
    let mut machine = sent(Era::Modern, Era::Legacy);
    on(&mut machine, head(200, BodyKind::Document));
    let encrypt = CallEffect::Encrypt(EncryptionRequest::UrlElicitation { number: 1, urls: 1 });
    assert_eq!(on(&mut machine, urls()), [ANSWERED, encrypt]);
    let (before, reply) = end(on(&mut machine, encrypted("state")));
    assert_eq!(before, []);
    assert_eq!(reply["result"]["resultType"], "input_required");
    assert_eq!(reply["result"]["requestState"], "state");
    assert!(reply["result"]["inputRequests"].get("page-1").is_some());
}

#[test]
fn after_too_many_url_elicitations_the_urls_are_told_as_text() {
    let mut machine = sent(Era::Modern, Era::Legacy);
    machine.url_elicitations = MAX_URL_ELICITATIONS;
    on(&mut machine, head(200, BodyKind::Stream));
    let (before, reply) = end(on(&mut machine, urls()));
    assert_eq!(before, [ANSWERED]);
    assert_eq!(failure_of(&reply), "needs_visit");
    let text = reply["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("https://x.example/a"), "{text}");
}

#[test]
fn a_declined_url_ends_the_call_unsent() {
    let mut plan = CallPlan::clone(&plan(Era::Modern, Era::Legacy, ""));
    for declined in [false, true] {
        let times = 3;
        plan.url_elicitation_result = Some(crate::plan::UrlElicitationResult { times, declined });
        let mut machine = of_plan(&Arc::new(plan.clone()));
        let effects = all(machine.start());
        if declined {
            let (before, reply) = end(effects);
            assert_eq!(before, []);
            assert_eq!(failure_of(&reply), "upstream_unanswered");
        } else {
            assert_eq!(effects, [CallEffect::SendUpstream(None)]);
            on(&mut machine, head(200, BodyKind::Document));
            let encrypt =
                CallEffect::Encrypt(EncryptionRequest::UrlElicitation { number: 4, urls: 1 });
            assert_eq!(on(&mut machine, urls()), [ANSWERED, encrypt]);
        }
    }
}
