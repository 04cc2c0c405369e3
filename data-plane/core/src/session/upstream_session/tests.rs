//! Tests of the session machine: callers share one handshake, a lost session is replaced once, and every waiter is
//! answered exactly once.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::*;

/// Session that knows the time of its last use only.
#[derive(Debug)]
struct FakeSession(AtomicU64);

impl UpstreamSession for FakeSession {
    fn last_used(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn touch(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

fn session(used: u64) -> Arc<FakeSession> {
    Arc::new(FakeSession(AtomicU64::new(used)))
}

fn kinds(outputs: &[Output<FakeSession, u32>]) -> Vec<String> {
    let kind = |output: &Output<FakeSession, u32>| match output {
        Output::Initialize => "initialize".to_owned(),
        Output::Publish(session) => format!("publish {}", session.is_some()),
        Output::Answer(waiter, answer) => format!("answer {waiter} {}", answer.is_ok()),
        Output::Terminate(_) => "terminate".to_owned(),
        Output::Stop => "stop".to_owned(),
    };
    outputs.iter().map(kind).collect()
}

#[test]
fn concurrent_callers_share_one_handshake() {
    let mut machine = UpstreamSessionMachine::new(None);
    assert_eq!(kinds(&machine.on(Event::Requested(1))), ["initialize"]);
    assert_eq!(kinds(&machine.on(Event::Requested(2))), [""; 0]);
    let opened = machine.on(Event::Opened(Ok(session(0))));
    assert_eq!(
        kinds(&opened),
        ["publish true", "answer 1 true", "answer 2 true"]
    );
    assert_eq!(kinds(&machine.on(Event::Requested(3))), ["answer 3 true"]);
}

#[test]
fn a_failed_handshake_fails_all_waiters_and_is_retried_for_the_next_caller() {
    let mut machine = UpstreamSessionMachine::new(None);
    machine.on(Event::Requested(1));
    let failed = machine.on(Event::Opened(Err(UpstreamFailure::Unreachable)));
    assert_eq!(kinds(&failed), ["answer 1 false"]);
    assert_eq!(kinds(&machine.on(Event::Requested(2))), ["initialize"]);
}

#[test]
fn a_lost_session_is_replaced_once_for_all_callers() {
    let first = session(0);
    let mut machine = UpstreamSessionMachine::new(Some(Arc::clone(&first)));
    let lost = |waiter| Event::Lost {
        lost: Arc::clone(&first),
        waiter,
    };
    assert_eq!(kinds(&machine.on(lost(1))), ["publish false", "initialize"]);
    assert_eq!(kinds(&machine.on(lost(2))), [""; 0]);
    machine.on(Event::Opened(Ok(session(1))));
    // A caller that notices the loss late gets the new session.
    assert_eq!(kinds(&machine.on(lost(3))), ["answer 3 true"]);
}

#[test]
fn an_idle_session_is_ended_and_a_used_one_is_kept() {
    let established = session(0);
    let mut machine: UpstreamSessionMachine<FakeSession, u32> =
        UpstreamSessionMachine::new(Some(Arc::clone(&established)));
    let idle = u64::try_from(IDLE_TIMEOUT.as_millis()).unwrap();
    established.touch(Timestamp(5));
    assert_eq!(
        kinds(&machine.on(Event::Tick(Timestamp(idle + 4)))),
        [""; 0]
    );
    let ended = machine.on(Event::Tick(Timestamp(idle + 5)));
    assert_eq!(kinds(&ended), ["publish false", "terminate", "stop"]);
    assert_eq!(kinds(&machine.on(Event::Requested(1))), ["answer 1 false"]);
}

#[test]
fn a_session_without_waiters_is_ended_after_its_handshake() {
    let mut machine = UpstreamSessionMachine::new(None);
    machine.on(Event::Requested(1));
    assert_eq!(kinds(&machine.on(Event::End)), ["answer 1 false"]);
    assert_eq!(
        kinds(&machine.on(Event::Opened(Ok(session(0))))),
        ["terminate", "stop"]
    );
}

#[test]
fn the_waiters_of_one_handshake_are_bounded() {
    let mut machine = UpstreamSessionMachine::<FakeSession, _>::new(None);
    for waiter in 0..MAX_WAITERS {
        machine.on(Event::Requested(waiter));
    }
    let refused = machine.on(Event::Requested(MAX_WAITERS));
    assert!(matches!(
        refused.as_slice(),
        [Output::Answer(_, Err(UpstreamFailure::Busy))]
    ));
}

proptest! {
    #[test]
    fn every_waiter_is_answered_once_and_every_session_is_ended_or_published(
        steps in prop::collection::vec((0_u8..6, any::<bool>()), 0..120)
    ) {
        let mut machine = UpstreamSessionMachine::new(None);
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
                    Event::Opened(if good { Ok(session(0)) } else { Err(UpstreamFailure::Timeout) })
                }
                2 => continue,
                3 => {
                    asked += 1;
                    let lost = if good { published.clone() } else { None };
                    let lost = lost.unwrap_or_else(|| session(0));
                    Event::Lost { lost, waiter: asked }
                }
                4 => Event::Tick(Timestamp(0)),
                _ => Event::End,
            };
            let was_lost = matches!(event, Event::Lost { .. });
            for output in machine.on(event) {
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
