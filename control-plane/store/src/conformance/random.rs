//! Check of a long random history against a map: the result of every commit, the events of a watch from any
//! revision, and the listing at any revision.

use std::collections::BTreeMap;

use toolgate_control_core::port::{Guard, Revision, Write};

use super::{Broken, Subject, all, delete, guarded, put, same, until, write};

const STEPS: u64 = 150;
const KEYS: u64 = 6;

/// Deterministic pseudo-random numbers (splitmix64). Statistical quality is not required.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

type Map = BTreeMap<String, (Revision, String)>;

pub(super) async fn histories(store: Subject) -> Result<(), Broken> {
    let mut numbers = Numbers(7);
    let start = write(&store, vec![put("/x/start", "")]).await?;
    let mut map = Map::from([("/x/start".to_owned(), (start, String::new()))]);
    let mut moments = vec![(start, map.clone())];
    for step in 0..STEPS {
        let guards = some_guards(&mut numbers, &map);
        let writes = some_writes(&mut numbers, step);
        let holds = guards.iter().all(|guard| holds(guard, &map));
        let done = guarded(&store, guards, writes.clone()).await?;
        same("whether the guards hold", done.is_some(), holds)?;
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
        let (entries, _) = all(&store, "/x/", 4, Some(*revision)).await?;
        let listed = entries.into_iter().map(|entry| {
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            (entry.key, (entry.modified, value))
        });
        same("the past", &listed.collect::<Map>(), map)?;
        replay(&store, *revision, map.clone(), last, &moments).await?;
    }
    Ok(())
}

/// Checks that a watch from `from` turns the map at that revision into the latest map.
async fn replay(
    store: &Subject,
    from: Revision,
    mut then: Map,
    last: Revision,
    moments: &[(Revision, Map)],
) -> Result<(), Broken> {
    if from < last {
        let mut watcher = store.watch("/x/", from + 1).await?;
        for event in until(&mut watcher, last).await? {
            use toolgate_control_core::port::StoreEvent;
            match event {
                StoreEvent::Put(entry) => {
                    let value = String::from_utf8_lossy(&entry.value).into_owned();
                    then.insert(entry.key, (entry.modified, value));
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
        same("a watch leads from then to now", agrees, true)?;
    }
    Ok(())
}

fn some_guards(numbers: &mut Numbers, map: &Map) -> Vec<Guard> {
    let mut guards = Vec::new();
    for _ in 0..numbers.below(3) {
        let key = format!("/x/{}", numbers.below(KEYS));
        let guard = match (numbers.below(4), map.get(&key)) {
            (0, _) => Guard::Absent(key),
            (1, _) => Guard::Modified(key, 1 + numbers.below(50)),
            (_, Some((revision, _))) => Guard::Modified(key, *revision),
            (_, None) => Guard::Absent(key),
        };
        guards.push(guard);
    }
    guards
}

fn some_writes(numbers: &mut Numbers, step: u64) -> Vec<Write> {
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

fn holds(guard: &Guard, map: &Map) -> bool {
    match guard {
        Guard::Absent(key) => !map.contains_key(key),
        Guard::Modified(key, at) => map.get(key).is_some_and(|(is, _)| is == at),
    }
}

fn apply(map: &mut Map, writes: &[Write], revision: Revision) {
    for write in writes {
        match write {
            Write::Put { key, value, .. } => {
                let value = String::from_utf8_lossy(value).into_owned();
                map.insert(key.clone(), (revision, value));
            }
            Write::Delete(key) => {
                map.remove(key);
            }
        }
    }
}
