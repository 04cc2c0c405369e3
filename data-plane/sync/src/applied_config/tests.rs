//! Tests of applying pushes.

use toolgate_wire::push::{UpdateAssembler, updates};

use super::*;
use crate::fixture::{gateway, key, server, small, snapshot, token, version};

/// Returns the push that follows a Hello.
fn hello(held: &AppliedConfig, wanted: &Snapshot) -> ReceivedUpdate {
    assembled(wanted.since(&held.digests()))
}

/// Returns the push that leads from `held` to `wanted`.
fn push(held: &AppliedConfig, wanted: &Snapshot) -> ReceivedUpdate {
    assembled(wanted.since(&held.snapshot.digests()))
}

fn assembled(delta: toolgate_model::Delta) -> ReceivedUpdate {
    let mut assembly = UpdateAssembler::default();
    let parts = updates(1, delta);
    parts
        .into_iter()
        .find_map(|part| assembly.add_part(part).unwrap())
        .unwrap()
}

fn serving(wanted: &Snapshot) -> AppliedConfig {
    let nothing = AppliedConfig::empty();
    let (held, rejected) = nothing.apply(push(&nothing, wanted)).unwrap();
    assert_eq!(rejected, []);
    held
}

#[test]
fn a_push_is_served_as_a_whole() {
    let held = serving(&small(5));
    assert_eq!(held.view.version(), version(5));
    assert_eq!(held.view.counts(), [1, 1, 1]);
    assert_eq!(held.snapshot.as_ref(), &small(5));
}

#[test]
fn an_older_version_is_ignored_and_a_new_epoch_is_accepted() {
    let held = serving(&small(5));
    assert!(held.apply(push(&held, &small(4))).is_err());
    let mut restored = snapshot(1, vec![]);
    restored.version.epoch = 2;
    let (held, _refused) = held.apply(push(&held, &restored)).unwrap();
    assert_eq!(held.view.counts(), [0, 0, 0]);
}

#[test]
fn a_rejected_resource_keeps_its_last_valid_form_and_is_offered_again_after_a_hello() {
    let held = serving(&small(5));
    let bad = server("files", "file:///etc/passwd", None);
    let incoming = ReceivedUpdate {
        version: version(6),
        puts: vec![bad, token("new", 8)],
        ..ReceivedUpdate::default()
    };
    let (next, rejected) = held.apply(incoming).unwrap();
    let files = key(SnapshotResourceKind::Server, "files");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].known.as_ref(), Some(&files));
    assert_eq!(next.view.counts(), [1, 1, 2]);
    assert_eq!(
        next.snapshot.entries.get(&files),
        held.snapshot.entries.get(&files)
    );
    assert_eq!(next.snapshot.version, version(6));
    assert_eq!(next.digests().get(&files), Some(&REJECTED_DIGEST));
    // Once fixed, it is no longer recorded as rejected.
    let good = ReceivedUpdate {
        version: version(7),
        puts: vec![server("files", "http://files.test/other", None)],
        ..ReceivedUpdate::default()
    };
    let (fixed, rejected) = next.apply(good).unwrap();
    assert_eq!(rejected, []);
    assert_eq!(
        fixed.digests().get(&files),
        Some(&fixed.snapshot.entries[&files].digest)
    );
}

#[test]
fn a_gateway_with_unknown_configuration_is_denied_alone() {
    let held = serving(&small(5));
    let mut wanted = small(6);
    wanted
        .entries
        .extend([gateway("tools", "files", &["zones"])]);
    let (next, rejected) = held.apply(push(&held, &wanted)).unwrap();
    assert!(
        rejected
            .iter()
            .any(|rejected| rejected.reason.contains("zones")),
        "{rejected:?}"
    );
    assert_eq!(
        rejected.len(),
        1,
        "one reason for one gateway: {rejected:?}"
    );
    assert!(next.view.gateway("tools").unwrap().denied.is_some());
    assert_eq!(next.view.counts(), [1, 1, 1]);
    // A later push without the gateway does not report it again.
    let more = ReceivedUpdate {
        version: version(7),
        puts: vec![token("new", 8)],
        ..ReceivedUpdate::default()
    };
    let (later, rejected) = next.apply(more).unwrap();
    assert_eq!(rejected, []);
    assert!(later.view.gateway("tools").unwrap().denied.is_some());
    // A removed gateway is gone, also for a proxy that restarted meanwhile and has it from its disk.
    let restarted = AppliedConfig::empty();
    let all = push(&restarted, &later.snapshot);
    let (restarted, rejected) = restarted.apply(all).unwrap();
    assert_eq!(rejected.len(), 1);
    for held in [later, restarted] {
        let tools = key(SnapshotResourceKind::Gateway, "tools");
        assert_eq!(held.digests().get(&tools), Some(&REJECTED_DIGEST));
        let mut wanted = small(8);
        wanted.entries.remove(&tools);
        let (gone, rejected) = held.apply(hello(&held, &wanted)).unwrap();
        assert_eq!(rejected, []);
        assert!(gone.view.gateway("tools").is_none());
    }
}

/// Builder that refuses every token.
fn disapproving(snapshot: &Snapshot, _previous: Option<&View>) -> (View, Vec<ResourceRejection>) {
    let keys = snapshot.entries.keys();
    let tokens = keys.filter(|key| key.kind == SnapshotResourceKind::Token);
    let rejections = tokens.map(|key| ResourceRejection {
        resource: key.clone(),
        reason: "on purpose".to_owned(),
    });
    (View::empty(), rejections.collect())
}

#[test]
fn a_fully_rejected_push_is_processed_quickly() {
    let clock = toolgate_runtime::clock::system();
    let apply = |count: u64| {
        let puts = (0..count).map(|n| token(&format!("t{n}"), 7)).collect();
        let incoming = ReceivedUpdate {
            version: version(6),
            puts,
            ..ReceivedUpdate::default()
        };
        let began = clock.monotonic();
        let (next, rejected) = AppliedConfig::empty()
            .apply_with(incoming, disapproving)
            .unwrap();
        let took = clock.monotonic().saturating_duration_since(began);
        assert_eq!(
            (rejected.len() as u64, next.rejected.len() as u64),
            (count, count)
        );
        took
    };
    // The fastest of three is hardly disturbed by what else the machine does.
    let fastest = |count: u64| (0..3).map(|_| apply(count)).min().unwrap();
    let (few, many) = (fastest(1_250), fastest(40_000));
    // Thirty-two times as many: looking at all of them for each would take a thousand times as long.
    assert!(many < few * 32 * 8, "{many:?} for many, {few:?} for few");
    // The figure: `make drill`.
    if std::env::var_os("TOOLGATE_TEST_DRILL").is_some() {
        assert!(many < std::time::Duration::from_secs(3), "{many:?}");
    }
}

/// Builder that panics on two specific resources.
fn fragile(snapshot: &Snapshot, previous: Option<&View>) -> (View, Vec<ResourceRejection>) {
    for poison in ["poison", "venom"] {
        assert!(
            !snapshot
                .entries
                .contains_key(&key(SnapshotResourceKind::Token, poison)),
            "on purpose"
        );
    }
    View::build(snapshot, previous)
}

#[test]
fn a_resource_that_panics_the_view_build_is_isolated() {
    let held = serving(&small(5));
    let mut puts: Vec<_> = (0..20).map(|n| token(&format!("t{n}"), 100 + n)).collect();
    puts.insert(3, token("poison", 1));
    puts.insert(15, token("venom", 2));
    let incoming = ReceivedUpdate {
        version: version(6),
        puts,
        ..ReceivedUpdate::default()
    };
    let (next, rejected) = held.apply_with(incoming, fragile).unwrap();
    let named: Vec<_> = rejected
        .iter()
        .map(|rejected| rejected.known.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(named, ["token/acme/poison", "token/acme/venom"]);
    assert_eq!(next.view.counts(), [1, 1, 21]);
    assert_eq!(next.view.version(), version(6));
}

#[test]
fn a_failed_build_keeps_the_current_view() {
    let held = serving(&small(5));
    let never: ViewBuilder = |_snapshot, _previous| panic!("on purpose");
    let (next, rejected) = held.apply_with(push(&held, &small(6)), never).unwrap();
    assert_eq!(next.view.version(), version(5));
    assert_eq!(rejected, []);
    let incoming = ReceivedUpdate {
        version: version(6),
        puts: vec![token("new", 1)],
        ..ReceivedUpdate::default()
    };
    let (_same, rejected) = held.apply_with(incoming, never).unwrap();
    assert_eq!(rejected.len(), 1);
}
