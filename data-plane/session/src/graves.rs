//! Sessions that ended on this proxy. Their ids can still be opened, so they are recorded here to be rejected. The
//! record is bounded per principal, so that no principal can displace the entries of others.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::session_id::{LIFE, SessionFacts};
use toolgate_model::{Principal, Timestamp};

use crate::{sessions::SessionKey, shard::Shards};

/// Maximum number of terminated sessions that are recorded.
pub const TOMBSTONES: usize = 100_000;

/// Maximum number of terminated sessions per principal; beyond it, the sessions that the principal opened first are
/// dropped.
pub const TOMBSTONES_PER_PRINCIPAL: usize = 2_000;

/// Set of terminated sessions.
pub(crate) struct Graves {
    /// Read with every request of a legacy session.
    over: Shards<SessionKey, ()>,
    /// Sessions by principal, oldest first.
    owners: Mutex<HashMap<Arc<Principal>, Owned>>,
}

type Owned = BTreeSet<(Timestamp, SessionKey)>;

impl Graves {
    pub(crate) fn new() -> Self {
        Self {
            over: Shards::new(TOMBSTONES),
            owners: Mutex::default(),
        }
    }

    /// Returns `true` if the session was terminated.
    pub(crate) fn has(&self, key: &SessionKey) -> bool {
        self.over.get(key).is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.over.len()
    }

    /// Records a terminated session for as long as its id can be opened.
    pub(crate) fn bury(&self, principal: &Arc<Principal>, facts: &SessionFacts, now: Timestamp) {
        let mut owners = self.owners();
        let owned = owners.entry(Arc::clone(principal)).or_default();
        self.clear(owned, now);
        if owned.len() >= TOMBSTONES_PER_PRINCIPAL {
            self.forget_oldest(owned);
        }
        owned.insert((facts.issued, facts.random));
        self.over.update(&facts.random, |over| *over = Some(()));
        if self.over.len() > TOMBSTONES {
            self.make_room(&mut owners, now);
        }
    }

    /// Drops expired entries, then the oldest entries of the principals with the most entries.
    fn make_room(&self, owners: &mut HashMap<Arc<Principal>, Owned>, now: Timestamp) {
        owners.retain(|_principal, owned| {
            self.clear(owned, now);
            !owned.is_empty()
        });
        while self.over.len() > TOMBSTONES {
            let Some(most) = owners.values_mut().max_by_key(|owned| owned.len()) else {
                return;
            };
            self.forget_oldest(most);
        }
    }

    fn clear(&self, owned: &mut Owned, now: Timestamp) {
        while owned
            .first()
            .is_some_and(|(issued, _)| now.since(*issued) > LIFE)
        {
            self.forget_oldest(owned);
        }
    }

    fn forget_oldest(&self, owned: &mut Owned) {
        if let Some((_, key)) = owned.pop_first() {
            self.over.remove_if(&key, |()| true);
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Arc<Principal>, Owned>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
