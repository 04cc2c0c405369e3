//! Sessions that ended on this proxy. Their ids can still be opened, so they are recorded here to be rejected. The
//! record is bounded per principal, so that no principal can displace the entries of others.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::session::session_id::{LIFETIME, SessionClaims};
use toolgate_model::{Principal, Timestamp};

use super::state::SessionKey;
use crate::sharded_map::ShardedMap;

/// Maximum number of terminated sessions that are recorded.
pub const TERMINATED_SESSIONS: usize = 100_000;

/// Maximum number of terminated sessions per principal; beyond it, the sessions that the principal opened first are
/// dropped.
pub const TERMINATED_SESSIONS_PER_PRINCIPAL: usize = 2_000;

/// Set of terminated sessions.
pub(crate) struct TerminatedSessions {
    /// Read with every request of a legacy session.
    sessions: ShardedMap<SessionKey, ()>,
    /// Sessions by principal, oldest first.
    by_principal: Mutex<HashMap<Arc<Principal>, PrincipalSessions>>,
}

type PrincipalSessions = BTreeSet<(Timestamp, SessionKey)>;

impl TerminatedSessions {
    pub(crate) fn new() -> Self {
        Self {
            sessions: ShardedMap::new(TERMINATED_SESSIONS),
            by_principal: Mutex::default(),
        }
    }

    /// Returns `true` if the session was terminated.
    pub(crate) fn contains(&self, key: &SessionKey) -> bool {
        self.sessions.get(key).is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Records a terminated session for as long as its id can be opened, and as the bounds of the record permit.
    pub(crate) fn insert(
        &self,
        principal: &Arc<Principal>,
        claims: &SessionClaims,
        now: Timestamp,
    ) {
        let mut owners = self.by_principal();
        let owned = owners.entry(Arc::clone(principal)).or_default();
        self.remove_expired(owned, now);
        if owned.len() >= TERMINATED_SESSIONS_PER_PRINCIPAL {
            self.remove_oldest(owned);
        }
        owned.insert((claims.issued, claims.random));
        self.sessions
            .update(&claims.random, |over| *over = Some(()));
        if self.sessions.len() > TERMINATED_SESSIONS {
            self.make_room(&mut owners, now);
        }
    }

    /// Drops expired entries, then the oldest entries of the principals with the most entries.
    fn make_room(&self, owners: &mut HashMap<Arc<Principal>, PrincipalSessions>, now: Timestamp) {
        owners.retain(|_principal, owned| {
            self.remove_expired(owned, now);
            !owned.is_empty()
        });
        while self.sessions.len() > TERMINATED_SESSIONS {
            let Some(most) = owners.values_mut().max_by_key(|owned| owned.len()) else {
                return;
            };
            self.remove_oldest(most);
        }
    }

    fn remove_expired(&self, owned: &mut PrincipalSessions, now: Timestamp) {
        while owned
            .first()
            .is_some_and(|(issued, _)| now.since(*issued) > LIFETIME)
        {
            self.remove_oldest(owned);
        }
    }

    fn remove_oldest(&self, owned: &mut PrincipalSessions) {
        if let Some((_, key)) = owned.pop_first() {
            self.sessions.remove_if(&key, |()| true);
        }
    }

    fn by_principal(&self) -> MutexGuard<'_, HashMap<Arc<Principal>, PrincipalSessions>> {
        self.by_principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
