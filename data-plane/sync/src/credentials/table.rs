//! Table of cached credentials. Shared ones are read without a lock; personal ones are bounded in number.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use toolgate_data_core::port::{CredentialRequest, UpstreamCredential};
use toolgate_model::{
    CredentialScope, ObjectName, Principal, Slug, Timestamp, snapshot::CredentialRef,
};

/// Maximum number of credentials of single principals. Beyond it, those not used for longest are dropped.
pub(super) const MAX_PERSONAL: usize = 10_000;

/// Number of personal credentials dropped at once, so that a full table is not searched for each new one.
const EVICTION_BATCH: usize = MAX_PERSONAL / 10;

/// Resolved credential of a server.
#[derive(Clone)]
pub(super) struct CachedCredential {
    /// Id of the credential, which is that of the server's reference unless the reference has changed.
    pub(super) credential: Slug,
    pub(super) revision: u64,
    pub(super) expires: Option<Timestamp>,
    pub(super) value: Arc<UpstreamCredential>,
}

struct PersonalCredential {
    cached: CachedCredential,
    last_used: AtomicU64,
}

/// Cached credential with the server that it is presented to, and its principal unless it is shared.
pub(super) type CredentialEntry = (ObjectName, Option<Principal>, CachedCredential);

/// Credentials by server.
#[derive(Default)]
pub(super) struct CredentialTable {
    shared: ArcSwap<BTreeMap<ObjectName, CachedCredential>>,
    /// Serializes changes of the shared credentials, which are copy-on-write.
    write_lock: Mutex<()>,
    personal: RwLock<PersonalTable>,
    changes: AtomicU64,
}

#[derive(Default)]
struct PersonalTable {
    servers: BTreeMap<ObjectName, BTreeMap<Principal, PersonalCredential>>,
    count: usize,
}

impl CachedCredential {
    fn satisfies(&self, reference: &CredentialRef, at: Timestamp) -> bool {
        self.credential == reference.id
            && self.revision >= reference.revision
            && self.expires.is_none_or(|expires| at < expires)
    }
}

impl CredentialTable {
    /// Returns the credential if it is usable now.
    pub(super) fn held(
        &self,
        request: CredentialRequest<'_>,
        now: Timestamp,
    ) -> Option<Arc<UpstreamCredential>> {
        let reference = request.reference;
        match reference.scope {
            CredentialScope::Shared => {
                let table = self.shared.load();
                let held = table.get(request.server)?;
                let usable = held.satisfies(reference, now);
                usable.then(|| Arc::clone(&held.value))
            }
            CredentialScope::PerPrincipal => {
                let table = self.personal();
                let held = table.servers.get(request.server)?.get(request.principal)?;
                held.last_used.store(now.0, Ordering::Relaxed);
                let usable = held.cached.satisfies(reference, now);
                usable.then(|| Arc::clone(&held.cached.value))
            }
        }
    }

    /// Returns the value of this credential in any revision, unless it has expired.
    pub(super) fn earlier(
        &self,
        server: &ObjectName,
        credential: &Slug,
        principal: Option<&Principal>,
        now: Timestamp,
    ) -> Option<Arc<UpstreamCredential>> {
        let usable = |held: &CachedCredential| {
            let same = held.credential == *credential;
            let current = held.expires.is_none_or(|expires| now < expires);
            (same && current).then(|| Arc::clone(&held.value))
        };
        match principal {
            None => self.shared.load().get(server).and_then(usable),
            Some(principal) => {
                let table = self.personal();
                let held = table.servers.get(server)?.get(principal)?;
                usable(&held.cached)
            }
        }
    }

    /// Returns `true` if the shared credential is usable and does not expire before `soon`.
    pub(super) fn is_fresh(
        &self,
        server: &ObjectName,
        reference: &CredentialRef,
        soon: Timestamp,
    ) -> bool {
        let table = self.shared.load();
        let held = table.get(server);
        held.is_some_and(|held| held.satisfies(reference, soon))
    }

    /// Caches a credential of this principal, or of all principals.
    pub(super) fn insert(
        &self,
        server: &ObjectName,
        principal: Option<Principal>,
        cached: CachedCredential,
        now: Timestamp,
    ) {
        match principal {
            None => self.change_shared(|table| {
                table.insert(server.clone(), cached);
            }),
            Some(principal) => {
                let mut table = self.personal_mut();
                table.make_room(now);
                table.insert(server, principal, cached, now);
            }
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops the credentials that `keep` rejects.
    pub(super) fn retain(&self, keep: impl Fn(&ObjectName, &Slug) -> bool) {
        let shared = self.shared.load();
        if !shared
            .iter()
            .all(|(server, held)| keep(server, &held.credential))
        {
            self.change_shared(|table| table.retain(|server, held| keep(server, &held.credential)));
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        let mut personal = self.personal_mut();
        if personal.retain(|server, held| keep(server, &held.cached.credential)) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Returns all credentials.
    pub(super) fn entries(&self) -> Vec<CredentialEntry> {
        let shared = self.shared.load();
        let shared = shared
            .iter()
            .map(|(server, held)| (server.clone(), None, held.clone()));
        let mut entries: Vec<CredentialEntry> = shared.collect();
        for (server, principals) in &self.personal().servers {
            let of_server = principals.iter().map(|(principal, held)| {
                (server.clone(), Some(principal.clone()), held.cached.clone())
            });
            entries.extend(of_server);
        }
        entries
    }

    fn change_shared(&self, change: impl FnOnce(&mut BTreeMap<ObjectName, CachedCredential>)) {
        let _one_at_a_time = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut table = self.shared.load().as_ref().clone();
        change(&mut table);
        self.shared.store(Arc::new(table));
    }

    fn personal(&self) -> RwLockReadGuard<'_, PersonalTable> {
        self.personal.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn personal_mut(&self) -> RwLockWriteGuard<'_, PersonalTable> {
        self.personal
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl PersonalTable {
    fn insert(
        &mut self,
        server: &ObjectName,
        principal: Principal,
        cached: CachedCredential,
        now: Timestamp,
    ) {
        let entry = PersonalCredential {
            cached,
            last_used: AtomicU64::new(now.0),
        };
        let principals = self.servers.entry(server.clone()).or_default();
        if principals.insert(principal, entry).is_none() {
            self.count += 1;
        }
    }

    /// Makes room for another credential: expired ones go first, then those not used for longest.
    fn make_room(&mut self, now: Timestamp) {
        if self.count < MAX_PERSONAL {
            return;
        }
        let current = |held: &PersonalCredential| held.cached.expires.is_none_or(|at| now < at);
        self.retain(|_server, held| current(held));
        if self.count < MAX_PERSONAL {
            return;
        }
        let all = self.servers.values().flat_map(BTreeMap::values);
        let mut used: Vec<u64> = all
            .map(|held| held.last_used.load(Ordering::Relaxed))
            .collect();
        let (_, limit, _) = used.select_nth_unstable(EVICTION_BATCH);
        let limit = *limit;
        let mut left = EVICTION_BATCH;
        self.retain(|_server, held| {
            let evicted = left > 0 && held.last_used.load(Ordering::Relaxed) <= limit;
            left -= usize::from(evicted);
            !evicted
        });
    }

    /// Drops the entries that `keep` rejects. Returns `true` if there were any.
    fn retain(&mut self, mut keep: impl FnMut(&ObjectName, &PersonalCredential) -> bool) -> bool {
        let before = self.count;
        self.servers.retain(|server, principals| {
            principals.retain(|_principal, held| keep(server, held));
            !principals.is_empty()
        });
        self.count = self.servers.values().map(BTreeMap::len).sum();
        self.count != before
    }
}

#[cfg(test)]
mod tests;
