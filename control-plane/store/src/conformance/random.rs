//! Check of a long random history against a map: the result of every commit, the events of a watch from any
//! revision, and the listing at any revision.

use std::collections::BTreeMap;

use toolgate_control_core::port::{Revision, TxnCompare, WriteOp};

use super::{
    ConformanceError, StoreUnderTest, delete, ensure_eq, events_until, list_all, put, try_write,
    write,
};

const STEPS: u64 = 150;
const KEYS: u64 = 6;

/// Deterministic pseudo-random numbers (splitmix64). Statistical quality is not required.
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

type ExpectedEntries = BTreeMap<String, (Revision, String)>;

pub(super) async fn histories(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let mut numbers = SplitMix64(7);
    let start = write(&store, vec![put("/x/start", "")]).await?;
    let mut map = ExpectedEntries::from([("/x/start".to_owned(), (start, String::new()))]);
    let mut moments = vec![(start, map.clone())];
    for step in 0..STEPS {
        let guards = some_guards(&mut numbers, &map);
        let writes = some_writes(&mut numbers, step);
        let holds = guards.iter().all(|guard| holds(guard, &map));
        let done = try_write(&store, guards, writes.clone()).await?;
        ensure_eq("whether the guards hold", done.is_some(), holds)?;
        if let Some(revision) = done {
            apply(&mut map, &writes, revision);
            moments.push((revision, map.clone()));
        }
    }
    let last = map
        .values()
        .map(|(revision, _)| *revision)
        .max()
        .unwrap_or(start);
    for (revision, map) in moments.iter().step_by(10) {
        let (entries, _) = list_all(&store, "/x/", 4, Some(*revision)).await?;
        let listed = entries.into_iter().map(|entry| {
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            (entry.key, (entry.mod_revision, value))
        });
        ensure_eq("the past", &listed.collect::<ExpectedEntries>(), map)?;
        replay(&store, *revision, map.clone(), last, &moments).await?;
    }
    Ok(())
}

/// Checks that a watch from `from` turns the map at that revision into the latest map.
async fn replay(
    store: &StoreUnderTest,
    from: Revision,
    mut then: ExpectedEntries,
    last: Revision,
    moments: &[(Revision, ExpectedEntries)],
) -> Result<(), ConformanceError> {
    if from < last {
        let mut watcher = store.watch("/x/", from + 1).await?;
        for event in events_until(&mut watcher, last).await? {
            use toolgate_control_core::port::StoreEvent;
            match event {
                StoreEvent::Put(entry) => {
                    let value = String::from_utf8_lossy(&entry.value).into_owned();
                    then.insert(entry.key, (entry.mod_revision, value));
                }
                StoreEvent::Delete { key, .. } => {
                    then.remove(&key);
                }
            }
        }
        let at_last = moments.iter().rev().find(|(revision, _)| *revision <= last);
        let at_last = at_last.map(|(_, map)| map);
        // Later commits may contain deletions only, and the watch may have delivered them too.
        let now = moments.last().map(|(_, map)| map);
        let agrees = Some(&then) == at_last || Some(&then) == now;
        ensure_eq("a watch leads from then to now", agrees, true)?;
    }
    Ok(())
}

fn some_guards(numbers: &mut SplitMix64, map: &ExpectedEntries) -> Vec<TxnCompare> {
    let mut guards = Vec::new();
    for _ in 0..numbers.below(3) {
        let key = format!("/x/{}", numbers.below(KEYS));
        let guard = match (numbers.below(6), map.get(&key)) {
            (0, _) => TxnCompare::Absent(key),
            (4, _) => {
                let all = map.values().map(|(revision, _)| *revision);
                let latest = all.max().unwrap_or_default();
                TxnCompare::NotModifiedAfter {
                    prefix: "/x/".to_owned(),
                    revision: latest.saturating_sub(numbers.below(2)),
                }
            }
            (1, _) => TxnCompare::ModRevision(key, 1 + numbers.below(50)),
            (5, _) => TxnCompare::ModRevisionAtLeast(key, 1 + numbers.below(50)),
            (_, Some((revision, _))) => TxnCompare::ModRevision(key, *revision),
            (_, None) => TxnCompare::Absent(key),
        };
        guards.push(guard);
    }
    guards
}

fn some_writes(numbers: &mut SplitMix64, step: u64) -> Vec<WriteOp> {
    let mut writes = BTreeMap::new();
    for _ in 0..=numbers.below(3) {
        let key = format!("/x/{}", numbers.below(KEYS));
        let write = match numbers.below(3) {
            0 => delete(&key),
            _ => put(&key, &step.to_string()),
        };
        writes.insert(key, write);
    }
    writes.into_values().collect()
}

fn holds(guard: &TxnCompare, map: &ExpectedEntries) -> bool {
    match guard {
        TxnCompare::Absent(key) => !map.contains_key(key),
        TxnCompare::ModRevision(key, at) => map.get(key).is_some_and(|(is, _)| is == at),
        TxnCompare::ModRevisionAtLeast(key, at) => map.get(key).is_some_and(|(is, _)| is >= at),
        TxnCompare::NotModifiedAfter { prefix, revision } => {
            let mut with_prefix = map.iter().filter(|(key, _)| key.starts_with(prefix));
            with_prefix.all(|(_, (is, _))| is <= revision)
        }
    }
}

fn apply(map: &mut ExpectedEntries, writes: &[WriteOp], revision: Revision) {
    for write in writes {
        match write {
            WriteOp::Put { key, value, .. } => {
                let value = String::from_utf8_lossy(value).into_owned();
                map.insert(key.clone(), (revision, value));
            }
            WriteOp::Delete(key) => {
                map.remove(key);
            }
        }
    }
}
