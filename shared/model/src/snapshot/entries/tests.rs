//! Tests of the entries: they are a map, and two clones differ only in the keys that the log names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    AllowList, ObjectName, SnapshotResource, SnapshotResourceKind, TokenHash, TokenSubject,
    change_log::MAX_CHANGES, snapshot::TokenResource,
};

fn key(id: u32) -> ResourceKey {
    let name = ObjectName::new("acme".parse().unwrap(), format!("t{id}").parse().unwrap());
    ResourceKey {
        kind: SnapshotResourceKind::Token,
        name,
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

fn differing(one: &SnapshotEntries, other: &SnapshotEntries) -> BTreeSet<ResourceKey> {
    let keys = one.keys().chain(other.keys());
    let keys = keys.filter(|key| one.get(key) != other.get(key));
    keys.cloned().collect()
}

/// Write of a key, or its removal.
type Write = (u32, Option<u8>);

fn some_writes() -> impl Strategy<Value = Vec<Write>> {
    proptest::collection::vec((0..8_u32, proptest::option::of(0..3_u8)), 0..20)
}

fn apply(
    entries: &mut SnapshotEntries,
    model: &mut BTreeMap<ResourceKey, SnapshotEntry>,
    writes: &[Write],
) {
    for (id, content) in writes {
        match content {
            Some(content) => {
                let former = entries.insert(key(*id), entry(*content));
                assert_eq!(former, model.insert(key(*id), entry(*content)));
            }
            None => assert_eq!(entries.remove(&key(*id)), model.remove(&key(*id))),
        }
    }
}

proptest! {
    #[test]
    fn entries_are_a_map_and_the_log_names_all_differences(
        first in some_writes(),
        second in some_writes(),
        third in some_writes(),
    ) {
        let (mut entries, mut model) = (SnapshotEntries::default(), BTreeMap::new());
        let mut earlier = vec![entries.clone()];
        for writes in [&first, &second] {
            apply(&mut entries, &mut model, writes);
            earlier.push(entries.clone());
        }
        prop_assert_eq!(entries.len(), model.len());
        prop_assert!(entries.iter().eq(model.iter()));
        prop_assert_eq!(&entries, &model.into_iter().collect());
        for former in &earlier {
            let named: BTreeSet<_> = entries.written_since(former).unwrap().cloned().collect();
            let differing = differing(&entries, former);
            prop_assert!(named.is_superset(&differing), "{named:?} {differing:?}");
        }
        // Clones that were written to separately.
        let (mut one, mut other) = (entries.clone(), entries.clone());
        let mut model = one.iter().map(|(k, e)| (k.clone(), e.clone())).collect();
        apply(&mut one, &mut model, &third);
        other.insert(key(1), entry(9));
        prop_assert!(other.written_since(&one).is_none() || one.written_since(&entries).unwrap().next().is_none());
        if let Some(named) = one.written_since(&other) {
            let named: BTreeSet<_> = named.cloned().collect();
            prop_assert!(named.is_superset(&differing(&one, &other)));
        }
    }
}

#[test]
fn the_keys_written_since_do_not_depend_on_the_number_of_entries() {
    let visited = [100, 10_000].map(|size| {
        let mut entries: SnapshotEntries = (0..size).map(|id| (key(id), entry(1))).collect();
        let before = entries.clone();
        entries.insert(key(7), entry(2));
        entries.remove(&key(8));
        entries.remove(&key(size + 1));
        entries.written_since(&before).unwrap().count()
    });
    assert_eq!(visited, [2, 2]);
}

#[test]
fn a_reader_that_is_too_many_writes_behind_starts_over() {
    let mut entries: SnapshotEntries = [(key(1), entry(1))].into_iter().collect();
    let before = entries.clone();
    let content = [entry(1), entry(2)];
    let mut contents = content.iter().cycle();
    for _ in 1..MAX_CHANGES {
        entries.insert(key(1), contents.next().unwrap().clone());
    }
    let written = entries.written_since(&before).unwrap();
    assert_eq!(written.count(), MAX_CHANGES - 1);
    entries.insert(key(1), contents.next().unwrap().clone());
    assert!(entries.written_since(&before).is_none());
    assert!(entries.written_since(&SnapshotEntries::default()).is_none());
    assert_eq!(entries.written_since(&entries.clone()).unwrap().count(), 0);
}

#[test]
fn a_change_in_place_is_a_write() {
    let mut entries: SnapshotEntries = (0..3).map(|id| (key(id), entry(1))).collect();
    let before = entries.clone();
    *entries.get_mut(&key(2)).unwrap() = entry(2);
    assert!(entries.get_mut(&key(9)).is_none());
    entries.update_each(|at, held| {
        if *at == key(0) {
            *held = entry(3);
        }
    });
    let written: Vec<_> = entries.written_since(&before).unwrap().cloned().collect();
    assert_eq!(written, [key(2), key(0)]);
    assert_eq!(
        (&entries[&key(0)], &before[&key(0)]),
        (&entry(3), &entry(1))
    );
}
