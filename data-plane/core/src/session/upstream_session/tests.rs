//! Tests of the session machine: callers share one handshake, a lost session is replaced once, and every waiter is
//! answered exactly once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::port::HandshakeResult;

fn facts(used: u64) -> Arc<UpstreamSessionHandle> {
    let opened = HandshakeResult {
        session: Some("s".into()),
        version: "2025-11-25".into(),
        capabilities: "{}".into(),
        transport: None,
    };
    Arc::new(UpstreamSessionHandle::new(opened, Timestamp(used)))
}

fn kinds(outputs: &[Output<u32>]) -> Vec<String> {
    let kind = |output: &Output<u32>| match output {
        Output::Initialize => "initialize".to_owned(),
        Output::Publish(facts) => format!("publish {}", facts.is_some()),
        Output::Answer(waiter, answer) => format!("answer {waiter} {}", answer.is_ok()),
        Output::Terminate(_) => "terminate".to_owned(),
        Output::Stop => "stop".to_owned(),
    };
    outputs.iter().map(kind).collect()
}

#[test]
fn concurrent_callers_share_one_handshake() {
    let mut link = UpstreamSessionMachine::new(None);
    assert_eq!(kinds(&link.on(Event::Requested(1))), ["initialize"]);
    assert_eq!(kinds(&link.on(Event::Requested(2))), [""; 0]);
    let opened = link.on(Event::Opened(Ok(facts(0))));
    assert_eq!(
        kinds(&opened),
        ["publish true", "answer 1 true", "answer 2 true"]
    );
    assert_eq!(kinds(&link.on(Event::Requested(3))), ["answer 3 true"]);
}

#[test]
fn a_failed_handshake_fails_all_waiters_and_is_retried_for_the_next_caller() {
    let mut link = UpstreamSessionMachine::new(None);
    link.on(Event::Requested(1));
    let failed = link.on(Event::Opened(Err(UpstreamFailure::Unreachable)));
    assert_eq!(kinds(&failed), ["answer 1 false"]);
    assert_eq!(kinds(&link.on(Event::Requested(2))), ["initialize"]);
}

#[test]
fn a_lost_session_is_replaced_once_for_all_callers() {
    let first = facts(0);
    let mut link = UpstreamSessionMachine::new(Some(Arc::clone(&first)));
    let lost = |waiter| Event::Lost {
        lost: Arc::clone(&first),
        waiter,
    };
    assert_eq!(kinds(&link.on(lost(1))), ["publish false", "initialize"]);
    assert_eq!(kinds(&link.on(lost(2))), [""; 0]);
    link.on(Event::Opened(Ok(facts(1))));
    // A caller that notices the loss late gets the new session.
    assert_eq!(kinds(&link.on(lost(3))), ["answer 3 true"]);
}

#[test]
fn an_idle_session_is_ended_and_a_used_one_is_kept() {
    let standing = facts(0);
    let mut link: UpstreamSessionMachine<u32> =
        UpstreamSessionMachine::new(Some(Arc::clone(&standing)));
    let idle = u64::try_from(IDLE_TIMEOUT.as_millis()).unwrap();
    standing.touch(Timestamp(5));
    assert_eq!(kinds(&link.on(Event::Tick(Timestamp(idle + 4)))), [""; 0]);
    let ended = link.on(Event::Tick(Timestamp(idle + 5)));
    assert_eq!(kinds(&ended), ["publish false", "terminate", "stop"]);
    assert_eq!(kinds(&link.on(Event::Requested(1))), ["answer 1 false"]);
}

#[test]
fn a_session_without_waiters_is_ended_after_its_handshake() {
    let mut link = UpstreamSessionMachine::new(None);
    link.on(Event::Requested(1));
    assert_eq!(kinds(&link.on(Event::End)), ["answer 1 false"]);
    assert_eq!(
        kinds(&link.on(Event::Opened(Ok(facts(0))))),
        ["terminate", "stop"]
    );
}

#[test]
fn the_waiters_of_one_handshake_are_bounded() {
    let mut link = UpstreamSessionMachine::new(None);
    for waiter in 0..MAX_WAITERS {
        link.on(Event::Requested(waiter));
    }
    let refused = link.on(Event::Requested(MAX_WAITERS));
    assert!(matches!(
        refused.as_slice(),
        [Output::Answer(_, Err(UpstreamFailure::Busy))]
    ));
}

#[test]
fn request_ids_of_a_session_never_repeat() {
    let facts = facts(0);
    let ids: BTreeSet<u64> = (0..1000).map(|_| facts.next_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(!ids.contains(&0));
}

proptest! {
    #[test]
    fn every_waiter_is_answered_once_and_every_session_is_ended_or_published(
        steps in prop::collection::vec((0_u8..6, any::<bool>()), 0..120)
    ) {
        let mut link = UpstreamSessionMachine::new(None);
        let (mut asked, mut answered) = (0_u32, BTreeSet::new());
        let (mut opening, mut published, mut live) = (false, None, 0_i32);
        let mut steps: Vec<_> = steps;
        // At the end no handshake is under way and no session is established.
        steps.extend([(5, true), (2, true), (5, true)]);
        for (step, good) in steps {
            let event = match step {
                0 | 1 => {
                    asked += 1;
                    Event::Requested(asked)
                }
                2 if opening => {
                    opening = false;
                    live += i32::from(good);
                    Event::Opened(if good { Ok(facts(0)) } else { Err(UpstreamFailure::Timeout) })
                }
                2 => continue,
                3 => {
                    asked += 1;
                    let lost = if good { published.clone() } else { None };
                    let lost = lost.unwrap_or_else(|| facts(0));
                    Event::Lost { lost, waiter: asked }
                }
                4 => Event::Tick(Timestamp(0)),
                _ => Event::End,
            };
            let was_lost = matches!(event, Event::Lost { .. });
            for output in link.on(event) {
                match output {
                    Output::Initialize => {
                        prop_assert!(!opening);
                        opening = true;
                    }
                    Output::Publish(now) => {
                        // The server already dropped the session; it need not be terminated.
                        live -= i32::from(was_lost && now.is_none());
                        published = now;
                    }
                    Output::Answer(waiter, _) => prop_assert!(answered.insert(waiter)),
                    Output::Terminate(_) => live -= 1,
                    Output::Stop => prop_assert!(!opening),
                }
            }
        }
        prop_assert_eq!(answered.len(), asked as usize);
        prop_assert_eq!(live, 0);
        prop_assert!(published.is_none());
    }
}
