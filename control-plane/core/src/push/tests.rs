//! Tests that a session converges on the latest snapshot for every order of events and always makes progress.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate_model::{
    AllowList, Endpoint, EndpointFailure, HealthState, ObjectName, SnapshotResource,
    SnapshotResourceKind, TokenHash, TokenSubject,
    snapshot::{SnapshotEntry, TokenResource},
};

use super::*;

mod boundaries;

fn key(id: u8) -> ResourceKey {
    let id = format!("t{id}");
    ResourceKey {
        kind: SnapshotResourceKind::Token,
        name: ObjectName::new("acme".parse().unwrap(), id.parse().unwrap()),
    }
}

fn entry(content: u8) -> SnapshotEntry {
    SnapshotEntry::new(SnapshotResource::Token(TokenResource {
        hash: TokenHash([content; 32]),
        subject: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        rate_limits: Vec::new(),
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

fn hello(held: &Snapshot) -> PushEvent {
    PushEvent::Hello(PushHello {
        id: "p1".parse().unwrap(),
        region: "eu".to_owned(),
        build: "1".to_owned(),
        listen: String::new(),
        started: Timestamp(0),
        latest_stream: Timestamp(0),
        held: held.version,
        resources: held.digests(),
    })
}

fn sent(outputs: &[PushAction]) -> Option<(u64, Delta)> {
    let sent = |output: &PushAction| match output {
        PushAction::Send { delta, nonce } => Some((*nonce, delta.clone())),
        PushAction::RecordProxy(_) | PushAction::WakeAt(_) | PushAction::Close(_) => None,
    };
    let all: Vec<_> = outputs.iter().filter_map(sent).collect();
    assert!(all.len() <= 1, "one update at a time");
    all.into_iter().next()
}

fn closed(outputs: &[PushAction]) -> Option<PushCloseReason> {
    outputs.iter().find_map(|output| match output {
        PushAction::Close(why) => Some(*why),
        PushAction::Send { .. } | PushAction::RecordProxy(_) | PushAction::WakeAt(_) => None,
    })
}

fn recorded(outputs: &[PushAction]) -> Option<ProxyStatus> {
    outputs.iter().find_map(|output| match output {
        PushAction::RecordProxy(proxy) => Some(proxy.clone()),
        PushAction::Send { .. } | PushAction::WakeAt(_) | PushAction::Close(_) => None,
    })
}

fn open(held: &Snapshot) -> PushSession {
    let mut session = PushSession::new(Timestamp(0));
    let outputs = session.step(hello(held), Timestamp(1));
    assert!(recorded(&outputs).unwrap().connected);
    session
}

#[test]
fn a_proxy_that_lacks_one_resource_gets_only_that_resource() {
    let mut session = open(&snapshot(5, &[(1, 1), (2, 2), (3, 3)]));
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(6, &[(1, 1), (2, 9)])),
        Timestamp(2),
    );
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(2), entry(9))]);
    assert_eq!(delta.removes, [key(3)]);
}

#[test]
fn while_a_push_is_in_flight_only_the_latest_snapshot_waits() {
    let mut session = open(&Snapshot::default());
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(1, &[(1, 1)])),
        Timestamp(2),
    );
    let (nonce, _) = sent(&outputs).unwrap();
    for revision in 2..100 {
        let content = u8::try_from(revision).unwrap();
        let outputs = session.step(
            PushEvent::SnapshotReady(snapshot(revision, &[(1, content)])),
            Timestamp(3),
        );
        assert!(sent(&outputs).is_none());
    }
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(4));
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.version.revision, 99);
    assert_eq!(delta.puts, [(key(1), entry(99))]);
}

#[test]
fn a_rejected_resource_that_is_deleted_is_removed_from_the_proxy() {
    let mut session = open(&snapshot(5, &[]));
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(6, &[(1, 1)])),
        Timestamp(2),
    );
    let (nonce, _) = sent(&outputs).unwrap();
    let rejected = vec![ResourceRejection {
        resource: key(1),
        reason: "denied".to_owned(),
    }];
    let outputs = session.step(PushEvent::Nack { nonce, rejected }, Timestamp(3));
    assert_eq!(recorded(&outputs).unwrap().rejections.len(), 1);
    // The proxy may deny the rejected resource, so the update removes it.
    let outputs = session.step(PushEvent::SnapshotReady(snapshot(7, &[])), Timestamp(4));
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.removes, [key(1)]);
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(5));
    assert_eq!(recorded(&outputs).unwrap().rejections, []);
    let outputs = session.step(PushEvent::SnapshotReady(snapshot(8, &[])), Timestamp(6));
    assert_eq!(sent(&outputs).unwrap().1.removes, []);
}

#[test]
fn a_rejected_resource_is_recorded_and_resent_only_after_a_change() {
    let mut session = open(&Snapshot::default());
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(1, &[(1, 1), (2, 2)])),
        Timestamp(2),
    );
    let (nonce, _) = sent(&outputs).unwrap();
    let rejected = vec![ResourceRejection {
        resource: key(2),
        reason: "too odd".to_owned(),
    }];
    let outputs = session.step(
        PushEvent::Nack {
            nonce,
            rejected: rejected.clone(),
        },
        Timestamp(3),
    );
    assert_eq!(recorded(&outputs).unwrap().rejections, rejected);
    assert!(sent(&outputs).is_none());

    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(2, &[(1, 5), (2, 2)])),
        Timestamp(4),
    );
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(1), entry(5))]);
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(5));
    assert_eq!(
        recorded(&outputs).unwrap().rejections,
        rejected,
        "it is still missing"
    );

    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(3, &[(1, 5), (2, 3)])),
        Timestamp(6),
    );
    let (nonce, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(2), entry(3))]);
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(7));
    assert_eq!(recorded(&outputs).unwrap().rejections, []);
}

#[test]
fn a_lagging_control_plane_does_not_roll_a_proxy_back() {
    let mut session = open(&snapshot(9, &[(1, 1)]));
    let outputs = session.step(PushEvent::SnapshotReady(snapshot(8, &[])), Timestamp(2));
    assert!(sent(&outputs).is_none());
    let outputs = session.step(PushEvent::SnapshotReady(snapshot(10, &[])), Timestamp(3));
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
    let outputs = session.step(PushEvent::SnapshotReady(Arc::new(restored)), Timestamp(2));
    assert_eq!(sent(&outputs).unwrap().1.removes, [key(1)]);
}

#[test]
fn a_new_version_without_changes_is_still_announced() {
    let mut session = open(&snapshot(1, &[(1, 1)]));
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(2, &[(1, 1)])),
        Timestamp(2),
    );
    let (nonce, delta) = sent(&outputs).unwrap();
    assert!(delta.is_empty());
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(3));
    assert_eq!(recorded(&outputs).unwrap().acked.revision, 2);
    let outputs = session.step(
        PushEvent::SnapshotReady(snapshot(2, &[(1, 1)])),
        Timestamp(4),
    );
    assert!(sent(&outputs).is_none());
}

#[test]
fn a_silent_or_out_of_order_proxy_is_disconnected() {
    let deadline = Timestamp(0).after(HELLO_TIMEOUT);
    let mut silent = PushSession::new(Timestamp(0));
    assert_eq!(
        closed(&silent.step(PushEvent::Tick, deadline)),
        Some(PushCloseReason::NoHello)
    );

    let mut slow = open(&Snapshot::default());
    let wanted = PushEvent::SnapshotReady(snapshot(1, &[(1, 1)]));
    let _sent = slow.step(wanted, Timestamp(2));
    let late = Timestamp(2).after(ACK_TIMEOUT);
    let outputs = slow.step(PushEvent::Tick, late);
    assert_eq!(closed(&outputs), Some(PushCloseReason::AckTimeout));
    assert!(!recorded(&outputs).unwrap().connected);
    assert!(slow.step(PushEvent::Tick, late).is_empty());

    let mut liar = open(&Snapshot::default());
    assert_eq!(
        closed(&liar.step(PushEvent::Ack { nonce: 7 }, Timestamp(2))),
        Some(PushCloseReason::WrongNonce)
    );
    let mut twice = open(&Snapshot::default());
    assert_eq!(
        closed(&twice.step(hello(&Snapshot::default()), Timestamp(2))),
        Some(PushCloseReason::NoHello)
    );
}

#[test]
fn an_idle_proxy_is_recorded_at_every_heartbeat() {
    let mut session = open(&Snapshot::default());
    assert!(recorded(&session.step(PushEvent::Tick, Timestamp(500))).is_none());
    let beat = Timestamp(1).after(HEARTBEAT_INTERVAL);
    assert_eq!(
        recorded(&session.step(PushEvent::Tick, beat))
            .unwrap()
            .last_seen,
        beat
    );
}

/// The cost of a write is independent of the size of the snapshot: only written entries are compared.
#[test]
fn a_snapshot_costs_the_entries_that_were_written_and_not_those_that_are_there() {
    let costs = [100, 10_000].map(|size: u32| {
        let held = entry(1);
        let numbered = |number: u32| ResourceKey {
            name: ObjectName::new(
                "acme".parse().unwrap(),
                format!("t{number}").parse().unwrap(),
            ),
            ..key(0)
        };
        let all = (0..size).map(|number| (numbered(number), held.clone()));
        let mut wanted = Snapshot {
            version: Version {
                epoch: 1,
                revision: 1,
            },
            entries: all.collect(),
        };
        let mut session = open(&wanted);
        let ready = PushEvent::SnapshotReady(Arc::new(wanted.clone()));
        assert!(sent(&session.step(ready, Timestamp(2))).is_none());
        let before = session.comparisons();
        for change in 2..6_u8 {
            wanted.version.revision = change.into();
            wanted.entries.insert(numbered(7), entry(change));
            wanted.entries.remove(&numbered(10 + u32::from(change)));
            let ready = PushEvent::SnapshotReady(Arc::new(wanted.clone()));
            let (nonce, delta) = sent(&session.step(ready, Timestamp(3))).unwrap();
            assert_eq!((delta.puts.len(), delta.removes.len()), (1, 1));
            let _next = session.step(PushEvent::Ack { nonce }, Timestamp(4));
        }
        session.comparisons() - before
    });
    assert_eq!(costs, [8, 8]);
}

/// Simulated proxy: applies accepted resources and permanently rejects some content.
#[derive(Default)]
struct FakeProxy {
    snapshot: Snapshot,
    inbox: Option<(u64, Delta)>,
}

fn rejects(entry: &SnapshotEntry) -> bool {
    entry.digest.0[0].is_multiple_of(4)
}

impl FakeProxy {
    fn answer(&mut self) -> Option<PushEvent> {
        let (nonce, mut delta) = self.inbox.take()?;
        assert!(delta.version >= self.snapshot.version, "never backwards");
        let (bad, good): (Vec<_>, Vec<_>) = delta.puts.into_iter().partition(|(_, it)| rejects(it));
        delta.puts = good;
        self.snapshot = self.snapshot.apply(&delta);
        let rejection = |(resource, _)| ResourceRejection {
            resource,
            reason: "no".to_owned(),
        };
        let rejected: Vec<ResourceRejection> = bad.into_iter().map(rejection).collect();
        Some(match rejected.is_empty() {
            true => PushEvent::Ack { nonce },
            false => PushEvent::Nack { nonce, rejected },
        })
    }
}

#[derive(Debug, Clone)]
enum ScenarioStep {
    /// Publishes this content, in a snapshot that is derived from the former one or not.
    Publish(Vec<(u8, u8)>, bool),
    Answer,
    Reconnect,
    Time(u64),
}

fn happens() -> impl Strategy<Value = ScenarioStep> {
    let content = proptest::collection::vec((0u8..6, any::<u8>()), 0..6);
    prop_oneof![
        4 => (content, any::<bool>()).prop_map(|(content, derived)| ScenarioStep::Publish(content, derived)),
        4 => Just(ScenarioStep::Answer),
        1 => Just(ScenarioStep::Reconnect),
        1 => (0u64..20_000).prop_map(ScenarioStep::Time),
    ]
}

proptest! {
    #[test]
    fn any_interleaving_converges_on_the_latest(steps in proptest::collection::vec(happens(), 1..80)) {
        let mut now = Timestamp(0);
        let mut fake = FakeProxy::default();
        let mut wanted = snapshot(1, &[]);
        let mut session = open(&fake.snapshot);
        let mut events = vec![PushEvent::SnapshotReady(Arc::clone(&wanted))];
        let settle = std::iter::repeat_n(ScenarioStep::Answer, 4);
        for step in steps.into_iter().chain([ScenarioStep::Reconnect]).chain(settle) {
            match step {
                ScenarioStep::Publish(content, derived) => {
                    let next = snapshot(wanted.version.revision + 1, &content);
                    wanted = if derived { Arc::new(wanted.apply(&next.changes_from(&wanted))) } else { next };
                    events.push(PushEvent::SnapshotReady(Arc::clone(&wanted)));
                }
                ScenarioStep::Answer => events.extend(fake.answer()),
                ScenarioStep::Reconnect => {
                    events.push(PushEvent::Disconnected);
                }
                ScenarioStep::Time(passed) => {
                    now = Timestamp(now.0 + passed);
                    events.push(PushEvent::Tick);
                }
            }
            for event in std::mem::take(&mut events) {
                if let Some(update) = sent(&session.step(event, now)) {
                    prop_assert!(fake.inbox.is_none(), "one in flight");
                    fake.inbox = Some(update);
                }
            }
            if session.is_closed() {
                session = PushSession::new(now);
                fake.inbox = None;
                for event in [hello(&fake.snapshot), PushEvent::SnapshotReady(Arc::clone(&wanted))] {
                    if let Some(update) = sent(&session.step(event, now)) {
                        fake.inbox = Some(update);
                    }
                }
            }
        }
        prop_assert_eq!(fake.snapshot.version, wanted.version);
        for (key, entry) in wanted.entries.iter().filter(|(_, entry)| !rejects(entry)) {
            prop_assert_eq!(fake.snapshot.entries.get(key), Some(entry));
        }
        for key in fake.snapshot.entries.keys() {
            prop_assert!(wanted.entries.contains_key(key), "{} should be gone", key);
        }
    }
}

#[test]
fn a_stream_starts_after_all_earlier_ones_also_if_their_clock_was_ahead() {
    let started = |latest: u64, now: u64| {
        let PushEvent::Hello(given) = hello(&Snapshot::default()) else {
            panic!("not a hello")
        };
        let given = PushHello {
            latest_stream: Timestamp(latest),
            ..given
        };
        let mut session = PushSession::new(Timestamp(now));
        let _outputs = session.step(PushEvent::Hello(given), Timestamp(now));
        session.proxy().unwrap().stream_started
    };
    assert_eq!(started(0, 1_000), Timestamp(1_000));
    assert_eq!(started(900, 1_000), Timestamp(1_000));
    assert_eq!(started(5_000, 1_000), Timestamp(5_001));
}

fn report(ahead_ms: i64) -> PushEvent {
    let clock = Some(ClockReading {
        ahead_ms,
        error_ms: 10,
    });
    PushEvent::Report(PushReport {
        clock,
        ..PushReport::default()
    })
}

#[test]
fn a_clock_that_is_off_is_recorded_at_once_and_one_that_agrees_with_the_next_heartbeat() {
    let mut session = open(&Snapshot::default());
    let later = Timestamp(1).after(OBSERVATION_INTERVAL);
    assert_eq!(recorded(&session.step(report(20), later)), None);
    let told = recorded(&session.step(report(180_000), later)).unwrap();
    assert_eq!(told.clock.unwrap().ahead_ms, 180_000);
    let heartbeat = later.after(HEARTBEAT_INTERVAL);
    assert_eq!(recorded(&session.step(report(181_000), heartbeat)), None);
    let next = recorded(&session.step(PushEvent::Tick, heartbeat)).unwrap();
    assert_eq!(next.clock.unwrap().ahead_ms, 181_000);
}

#[test]
fn changing_observations_are_recorded_at_most_every_few_seconds() {
    let mut session = open(&Snapshot::default());
    let mut records = 0;
    for second in 0..600_u64 {
        let now = Timestamp(second * 1000 + 2);
        let ahead = if second % 2 == 0 { 0 } else { 3_600_000 };
        let mut actions = session.step(report(ahead), now);
        actions.extend(session.step(PushEvent::Tick, now));
        let is_record = |action: &&PushAction| matches!(action, PushAction::RecordProxy(_));
        records += actions.iter().filter(is_record).count();
    }
    assert!((100..=120).contains(&records), "{records}");
}

#[test]
fn a_clock_that_is_set_back_does_not_end_the_heartbeats() {
    let day = 86_400_000;
    let mut session = PushSession::new(Timestamp(3 * day));
    let opened = session.step(hello(&Snapshot::default()), Timestamp(3 * day));
    assert!(recorded(&opened).is_some());
    let actions = session.step(PushEvent::Tick, Timestamp(day));
    assert!(recorded(&actions).is_some_and(|proxy| proxy.connected));
    let wakes = |action: &PushAction| match action {
        PushAction::WakeAt(at) => Some(*at),
        PushAction::Send { .. } | PushAction::RecordProxy(_) | PushAction::Close(_) => None,
    };
    let wake = actions.iter().find_map(wakes).unwrap();
    assert!(wake <= Timestamp(day).after(HEARTBEAT_INTERVAL));
}

fn health(id: &str, state: HealthState, at: Timestamp, outages: u32) -> ServerHealth {
    ServerHealth {
        server: ObjectName::new("acme".parse().unwrap(), id.parse().unwrap()),
        state,
        failing_since: at,
        recovered: (state == HealthState::Available).then_some(at),
        failure: "upstream_unreachable".to_owned(),
        detail: String::new(),
        outages,
        endpoints: Vec::new(),
    }
}

fn report_of(servers: Vec<ServerHealth>, replaces_servers: bool) -> PushEvent {
    PushEvent::Report(PushReport {
        servers,
        replaces_servers,
        ..PushReport::default()
    })
}

#[test]
fn a_flapping_server_is_recorded_at_most_every_few_seconds_and_its_last_state_is() {
    let mut session = open(&Snapshot::default());
    let mut last = None;
    let mut records = 0;
    // Ten changes per second for ten minutes.
    for number in 0..6_000_u32 {
        let now = Timestamp(u64::from(number) * 100 + 2);
        let state = match number % 2 {
            0 => HealthState::Unavailable,
            _ => HealthState::Available,
        };
        let changed = health("git", state, now, number / 2 + 1);
        let mut actions = session.step(report_of(vec![changed], false), now);
        actions.extend(session.step(PushEvent::Tick, now));
        for action in actions {
            if let PushAction::RecordProxy(proxy) = action {
                records += 1;
                assert!(proxy.servers.len() <= 1);
                last = Some(proxy);
            }
        }
    }
    assert!((100..=121).contains(&records), "{records}");
    let end = Timestamp(600_000).after(OBSERVATION_INTERVAL);
    let recorded = recorded(&session.step(PushEvent::Tick, end))
        .or(last)
        .unwrap();
    assert_eq!(recorded.servers[0].outages, 3_000);
    assert_eq!(recorded.servers[0].state, HealthState::Available);
}

#[test]
fn reports_of_servers_are_merged_until_one_replaces_them() {
    let mut session = open(&Snapshot::default());
    let now = Timestamp(1).after(OBSERVATION_INTERVAL);
    let failing = |id: &str| health(id, HealthState::Unavailable, now, 1);
    let ids = |session: &PushSession| -> Vec<String> {
        let servers = &session.proxy().unwrap().servers;
        servers.iter().map(|it| it.server.id.to_string()).collect()
    };
    let first = recorded(&session.step(report_of(vec![failing("wiki")], true), now));
    assert_eq!(first.unwrap().servers.len(), 1, "recorded at once");
    let _merged = session.step(report_of(vec![failing("git")], false), now);
    assert_eq!(ids(&session), ["git", "wiki"]);
    let _nothing = session.step(report_of(Vec::new(), false), now);
    assert_eq!(ids(&session), ["git", "wiki"]);
    let many = (0..5_000).map(|n| failing(&format!("s{n}"))).collect();
    let _many = session.step(report_of(many, false), now);
    assert!(ids(&session).len() <= 100);
    let _replaced = session.step(report_of(vec![failing("git")], true), now);
    assert_eq!(ids(&session), ["git"]);
}

#[test]
fn an_endpoint_that_answers_again_replaces_the_report_of_its_failure() {
    let mut session = open(&Snapshot::default());
    let report = |is_failing: bool| {
        let mut observed = health("git", HealthState::Available, Timestamp(1), 0);
        observed.recovered = None;
        if is_failing {
            observed.endpoints.push(EndpointFailure {
                endpoint: Endpoint {
                    url: "https://one.example/mcp".parse().unwrap(),
                    region: None,
                },
                failing_since: Timestamp(1),
                failure: "upstream_unreachable".to_owned(),
                detail: String::new(),
            });
        }
        report_of(vec![observed], false)
    };
    let mut seen = Vec::new();
    for (is_failing, at) in [(true, 10_000), (false, 20_000)] {
        let mut actions = session.step(report(is_failing), Timestamp(at));
        let later = Timestamp(at).after(OBSERVATION_INTERVAL);
        actions.extend(session.step(PushEvent::Tick, later));
        seen.push(recorded(&actions).map(|proxy| proxy.servers.len()));
    }
    assert_eq!(seen, [Some(1), Some(0)]);
}
