//! Tests that a session converges on the latest snapshot for every order of events and always makes progress.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate_model::{
    Name, Reach, Resource, ResourceKind, Subject, TokenHash,
    snapshot::{Entry, TokenResource},
};

use super::*;

fn key(id: u8) -> ResourceKey {
    let id = format!("t{id}");
    ResourceKey {
        kind: ResourceKind::Token,
        name: Name::new("acme".parse().unwrap(), id.parse().unwrap()),
    }
}

fn entry(content: u8) -> Entry {
    Entry::new(Resource::Token(TokenResource {
        hash: TokenHash([content; 32]),
        subject: Subject::Organization,
        gateways: Reach::All,
        tools: Reach::All,
        expires: None,
    }))
}

fn snapshot(revision: u64, content: &[(u8, u8)]) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        version: Version { epoch: 1, revision },
        entries: content
            .iter()
            .map(|(id, content)| (key(*id), entry(*content)))
            .collect(),
    })
}

fn hello(held: &Snapshot) -> Event {
    Event::Hello(Hello {
        id: "p1".parse().unwrap(),
        region: "eu".to_owned(),
        build: "1".to_owned(),
        listen: String::new(),
        started: Timestamp(0),
        held: held.version,
        resources: held.digests(),
    })
}

fn sent(outputs: &[Output]) -> Option<(u64, Delta)> {
    let sent = |output: &Output| match output {
        Output::Send { delta, nonce } => Some((*nonce, delta.clone())),
        Output::RecordProxy(_) | Output::WakeAt(_) | Output::Close(_) => None,
    };
    let all: Vec<_> = outputs.iter().filter_map(sent).collect();
    assert!(all.len() <= 1, "one update at a time");
    all.into_iter().next()
}

fn closed(outputs: &[Output]) -> Option<Closed> {
    outputs.iter().find_map(|output| match output {
        Output::Close(why) => Some(*why),
        Output::Send { .. } | Output::RecordProxy(_) | Output::WakeAt(_) => None,
    })
}

fn recorded(outputs: &[Output]) -> Option<Proxy> {
    outputs.iter().find_map(|output| match output {
        Output::RecordProxy(proxy) => Some(proxy.clone()),
        Output::Send { .. } | Output::WakeAt(_) | Output::Close(_) => None,
    })
}

fn open(held: &Snapshot) -> Session {
    let mut session = Session::new(Timestamp(0));
    let outputs = session.step(hello(held), Timestamp(1));
    assert!(recorded(&outputs).unwrap().connected);
    session
}

#[test]
fn a_proxy_that_holds_all_but_one_gets_the_one() {
    let mut session = open(&snapshot(5, &[(1, 1), (2, 2), (3, 3)]));
    let outputs = session.step(Event::Wanted(snapshot(6, &[(1, 1), (2, 9)])), Timestamp(2));
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(2), entry(9))]);
    assert_eq!(delta.removes, [key(3)]);
}

#[test]
fn while_one_is_in_flight_only_the_latest_waits() {
    let mut session = open(&Snapshot::default());
    let outputs = session.step(Event::Wanted(snapshot(1, &[(1, 1)])), Timestamp(2));
    let (nonce, _) = sent(&outputs).unwrap();
    for revision in 2..100 {
        let content = u8::try_from(revision).unwrap();
        let outputs = session.step(
            Event::Wanted(snapshot(revision, &[(1, content)])),
            Timestamp(3),
        );
        assert!(sent(&outputs).is_none());
    }
    let outputs = session.step(Event::Ack { nonce }, Timestamp(4));
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.version.revision, 99);
    assert_eq!(delta.puts, [(key(1), entry(99))]);
}

#[test]
fn what_was_refused_and_is_gone_is_removed() {
    let mut session = open(&snapshot(5, &[]));
    let outputs = session.step(Event::Wanted(snapshot(6, &[(1, 1)])), Timestamp(2));
    let (nonce, _) = sent(&outputs).unwrap();
    let refused = vec![Refusal {
        resource: key(1),
        reason: "denied".to_owned(),
    }];
    let outputs = session.step(Event::Nack { nonce, refused }, Timestamp(3));
    assert_eq!(recorded(&outputs).unwrap().refusals.len(), 1);
    // The proxy may deny the rejected resource, so the update removes it.
    let outputs = session.step(Event::Wanted(snapshot(7, &[])), Timestamp(4));
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.removes, [key(1)]);
    let outputs = session.step(Event::Ack { nonce }, Timestamp(5));
    assert_eq!(recorded(&outputs).unwrap().refusals, []);
    let outputs = session.step(Event::Wanted(snapshot(8, &[])), Timestamp(6));
    assert_eq!(sent(&outputs).unwrap().1.removes, []);
}

#[test]
fn what_was_refused_is_named_and_not_sent_again_until_it_changes() {
    let mut session = open(&Snapshot::default());
    let outputs = session.step(Event::Wanted(snapshot(1, &[(1, 1), (2, 2)])), Timestamp(2));
    let (nonce, _) = sent(&outputs).unwrap();
    let refused = vec![Refusal {
        resource: key(2),
        reason: "too odd".to_owned(),
    }];
    let outputs = session.step(
        Event::Nack {
            nonce,
            refused: refused.clone(),
        },
        Timestamp(3),
    );
    assert_eq!(recorded(&outputs).unwrap().refusals, refused);
    assert!(sent(&outputs).is_none());

    let outputs = session.step(Event::Wanted(snapshot(2, &[(1, 5), (2, 2)])), Timestamp(4));
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(1), entry(5))]);
    let outputs = session.step(Event::Ack { nonce }, Timestamp(5));
    assert_eq!(
        recorded(&outputs).unwrap().refusals,
        refused,
        "it is still missing"
    );

    let outputs = session.step(Event::Wanted(snapshot(3, &[(1, 5), (2, 3)])), Timestamp(6));
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(2), entry(3))]);
    let outputs = session.step(Event::Ack { nonce }, Timestamp(7));
    assert_eq!(recorded(&outputs).unwrap().refusals, []);
}

#[test]
fn a_control_plane_that_lags_behind_does_not_push_a_proxy_back() {
    let mut session = open(&snapshot(9, &[(1, 1)]));
    let outputs = session.step(Event::Wanted(snapshot(8, &[])), Timestamp(2));
    assert!(sent(&outputs).is_none());
    let outputs = session.step(Event::Wanted(snapshot(10, &[])), Timestamp(3));
    assert!(sent(&outputs).is_some());
}

#[test]
fn a_new_epoch_is_pushed_although_its_revision_is_lower() {
    let mut session = open(&snapshot(9, &[(1, 1)]));
    let restored = Snapshot {
        version: Version {
            epoch: 2,
            revision: 3,
        },
        ..Snapshot::default()
    };
    let outputs = session.step(Event::Wanted(Arc::new(restored)), Timestamp(2));
    assert_eq!(sent(&outputs).unwrap().1.removes, [key(1)]);
}

#[test]
fn a_new_version_without_changes_is_still_announced() {
    let mut session = open(&snapshot(1, &[(1, 1)]));
    let outputs = session.step(Event::Wanted(snapshot(2, &[(1, 1)])), Timestamp(2));
    let (nonce, delta) = sent(&outputs).unwrap();
    assert!(delta.is_empty());
    let outputs = session.step(Event::Ack { nonce }, Timestamp(3));
    assert_eq!(recorded(&outputs).unwrap().acked.revision, 2);
    let outputs = session.step(Event::Wanted(snapshot(2, &[(1, 1)])), Timestamp(4));
    assert!(sent(&outputs).is_none());
}

#[test]
fn whoever_is_silent_or_talks_out_of_turn_is_closed() {
    let deadline = Timestamp(0).after(HELLO_DEADLINE);
    let mut silent = Session::new(Timestamp(0));
    assert_eq!(
        closed(&silent.step(Event::Tick, deadline)),
        Some(Closed::NoHello)
    );

    let mut slow = open(&Snapshot::default());
    let wanted = Event::Wanted(snapshot(1, &[(1, 1)]));
    let _sent = slow.step(wanted, Timestamp(2));
    let late = Timestamp(2).after(ANSWER_DEADLINE);
    let outputs = slow.step(Event::Tick, late);
    assert_eq!(closed(&outputs), Some(Closed::NoAnswer));
    assert!(!recorded(&outputs).unwrap().connected);
    assert!(slow.step(Event::Tick, late).is_empty());

    let mut liar = open(&Snapshot::default());
    assert_eq!(
        closed(&liar.step(Event::Ack { nonce: 7 }, Timestamp(2))),
        Some(Closed::WrongNonce)
    );
    let mut twice = open(&Snapshot::default());
    assert_eq!(
        closed(&twice.step(hello(&Snapshot::default()), Timestamp(2))),
        Some(Closed::NoHello)
    );
}

#[test]
fn a_proxy_that_merely_lives_is_recorded_at_every_heartbeat() {
    let mut session = open(&Snapshot::default());
    assert!(recorded(&session.step(Event::Tick, Timestamp(500))).is_none());
    let beat = Timestamp(1).after(HEARTBEAT);
    assert_eq!(
        recorded(&session.step(Event::Tick, beat))
            .unwrap()
            .last_seen,
        beat
    );
}

/// Simulated proxy: applies accepted resources and permanently rejects some content.
#[derive(Default)]
struct Fake {
    snapshot: Snapshot,
    inbox: Option<(u64, Delta)>,
}

fn refuses(entry: &Entry) -> bool {
    entry.digest.0[0].is_multiple_of(4)
}

impl Fake {
    fn answer(&mut self) -> Option<Event> {
        let (nonce, mut delta) = self.inbox.take()?;
        assert!(delta.version >= self.snapshot.version, "never backwards");
        let (bad, good): (Vec<_>, Vec<_>) = delta.puts.into_iter().partition(|(_, it)| refuses(it));
        delta.puts = good;
        self.snapshot = self.snapshot.apply(&delta);
        let refusal = |(resource, _)| Refusal {
            resource,
            reason: "no".to_owned(),
        };
        let refused: Vec<Refusal> = bad.into_iter().map(refusal).collect();
        Some(match refused.is_empty() {
            true => Event::Ack { nonce },
            false => Event::Nack { nonce, refused },
        })
    }
}

#[derive(Debug, Clone)]
enum Happens {
    Publish(Vec<(u8, u8)>),
    Answer,
    Reconnect,
    Time(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let content = proptest::collection::vec((0u8..6, any::<u8>()), 0..6);
    prop_oneof![
        4 => content.prop_map(Happens::Publish),
        4 => Just(Happens::Answer),
        1 => Just(Happens::Reconnect),
        1 => (0u64..20_000).prop_map(Happens::Time),
    ]
}

proptest! {
    #[test]
    fn any_interleaving_converges_on_the_latest(steps in proptest::collection::vec(happens(), 1..80)) {
        let mut now = Timestamp(0);
        let mut fake = Fake::default();
        let mut wanted = snapshot(1, &[]);
        let mut session = open(&fake.snapshot);
        let mut events = vec![Event::Wanted(Arc::clone(&wanted))];
        let settle = std::iter::repeat_n(Happens::Answer, 4);
        for step in steps.into_iter().chain([Happens::Reconnect]).chain(settle) {
            match step {
                Happens::Publish(content) => {
                    wanted = snapshot(wanted.version.revision + 1, &content);
                    events.push(Event::Wanted(Arc::clone(&wanted)));
                }
                Happens::Answer => events.extend(fake.answer()),
                Happens::Reconnect => {
                    events.push(Event::Disconnected);
                }
                Happens::Time(passed) => {
                    now = Timestamp(now.0 + passed);
                    events.push(Event::Tick);
                }
            }
            for event in std::mem::take(&mut events) {
                if let Some(update) = sent(&session.step(event, now)) {
                    prop_assert!(fake.inbox.is_none(), "one in flight");
                    fake.inbox = Some(update);
                }
            }
            if session.is_closed() {
                session = Session::new(now);
                fake.inbox = None;
                for event in [hello(&fake.snapshot), Event::Wanted(Arc::clone(&wanted))] {
                    if let Some(update) = sent(&session.step(event, now)) {
                        fake.inbox = Some(update);
                    }
                }
            }
        }
        prop_assert_eq!(fake.snapshot.version, wanted.version);
        for (key, entry) in wanted.entries.iter().filter(|(_, entry)| !refuses(entry)) {
            prop_assert_eq!(fake.snapshot.entries.get(key), Some(entry));
        }
        for key in fake.snapshot.entries.keys() {
            prop_assert!(wanted.entries.contains_key(key), "{} should be gone", key);
        }
    }
}
