//! Tests of deltas: a delta leads from any snapshot to any other, and contains no more than necessary.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::Slug;

/// Generates snapshots over eight keys with three contents each, so that random snapshots overlap.
fn snapshot() -> impl Strategy<Value = Snapshot> {
    let key = (0..4u8, 0..2u8).prop_map(|(id, kind)| ResourceKey {
        kind: if kind == 0 {
            SnapshotResourceKind::Gateway
        } else {
            SnapshotResourceKind::Catalogue
        },
        name: ObjectName::new(slug("acme"), slug(&format!("o{id}"))),
    });
    let entry = (0..3u8).prop_map(|content| {
        SnapshotEntry::new(SnapshotResource::Gateway(GatewayResource {
            display_name: format!("name {content}"),
            instructions: String::new(),
            tools: Vec::new(),
            servers: Vec::new(),
            must_understand: Vec::new(),
            ..GatewayResource::default()
        }))
    });
    (1..100u64, btree_map(key, entry, 0..8)).prop_map(|(revision, entries)| Snapshot {
        version: Version { epoch: 1, revision },
        entries: entries.into_iter().collect(),
    })
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn a_delta_transforms_any_snapshot_into_any_other(a in snapshot(), b in snapshot()) {
        prop_assert_eq!(a.apply(&b.since(&a.digests())), b.clone());
        prop_assert_eq!(b.changes_from(&a), b.since(&a.digests()));
        // The same from a snapshot that is derived from the other.
        let derived = a.apply(&b.since(&a.digests()));
        prop_assert!(derived.entries.written_since(&a.entries).is_some());
        prop_assert_eq!(derived.changes_from(&a), b.since(&a.digests()));
    }

    #[test]
    fn the_delta_to_an_equal_snapshot_is_empty(a in snapshot()) {
        prop_assert!(a.since(&a.digests()).is_empty());
    }

    #[test]
    fn a_delta_contains_only_differences(a in snapshot(), b in snapshot()) {
        for (key, entry) in b.since(&a.digests()).puts {
            prop_assert_ne!(a.entries.get(&key), Some(&entry));
        }
    }
}

#[test]
fn a_digest_is_stable_across_processes() {
    let digest = SnapshotEntry::new(SnapshotResource::Gateway(GatewayResource {
        display_name: "tools".into(),
        instructions: String::new(),
        tools: Vec::new(),
        servers: vec![slug("demo")],
        must_understand: Vec::new(),
        ..GatewayResource::default()
    }))
    .digest;
    assert_eq!(
        digest,
        crate::Digest::of_bytes(
            br#"{"Gateway":{"display_name":"tools","instructions":"","tools":[],"servers":["demo"],"must_understand":[]}}"#
        ),
        "proxies of another build must agree on it"
    );
}
