//! Tests of deltas: a delta leads from any snapshot to any other, and contains no more than necessary.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::Slug;

/// Generates snapshots over eight keys with three contents each, so that random snapshots overlap.
fn snapshot() -> impl Strategy<Value = Snapshot> {
    let key = (0..4u8, 0..2u8).prop_map(|(id, kind)| ResourceKey {
        kind: if kind == 0 {
            ResourceKind::Gateway
        } else {
            ResourceKind::Catalogue
        },
        name: Name::new(slug("acme"), slug(&format!("o{id}"))),
    });
    let entry = (0..3u8).prop_map(|content| {
        Entry::new(Resource::Gateway(GatewayResource {
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
        entries,
    })
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn a_delta_leads_from_any_snapshot_to_any_other(a in snapshot(), b in snapshot()) {
        prop_assert_eq!(a.apply(&b.since(&a.digests())), b);
    }

    #[test]
    fn nothing_is_sent_to_who_holds_everything(a in snapshot()) {
        prop_assert!(a.since(&a.digests()).is_empty());
    }

    #[test]
    fn a_delta_names_only_what_differs(a in snapshot(), b in snapshot()) {
        for (key, entry) in b.since(&a.digests()).puts {
            prop_assert_ne!(a.entries.get(&key), Some(&entry));
        }
    }
}

#[test]
fn a_digest_does_not_depend_on_the_process() {
    let digest = Entry::new(Resource::Gateway(GatewayResource {
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
