//! Lease deadlines. They are kept in memory: after a restart every lease has its full TTL again, as after a leader
//! change in etcd.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use toolgate_runtime::clock::SharedClock;

pub(super) struct LeaseTimers {
    clock: SharedClock,
    leases: Mutex<BTreeMap<i64, LeaseDeadline>>,
}

struct LeaseDeadline {
    at: Instant,
    ttl: Duration,
}

impl LeaseTimers {
    pub(super) fn new(clock: SharedClock, known: Vec<(i64, u64)>) -> Self {
        let deadlines = Self {
            clock,
            leases: Mutex::default(),
        };
        for (lease, ttl_seconds) in known {
            deadlines.set(lease, ttl_seconds);
        }
        deadlines
    }

    pub(super) fn set(&self, lease: i64, ttl_seconds: u64) {
        let ttl = Duration::from_secs(ttl_seconds);
        let at = self.clock.monotonic() + ttl;
        self.leases().insert(lease, LeaseDeadline { at, ttl });
    }

    /// Renews the lease. Returns `false` if it does not exist or has expired.
    pub(super) fn renew(&self, lease: i64) -> bool {
        let now = self.clock.monotonic();
        let mut leases = self.leases();
        let Some(deadline) = leases.get_mut(&lease).filter(|deadline| deadline.at > now) else {
            return false;
        };
        deadline.at = now + deadline.ttl;
        true
    }

    /// Removes the lease. Returns `false` if it does not exist.
    pub(super) fn remove(&self, lease: i64) -> bool {
        self.leases().remove(&lease).is_some()
    }

    pub(super) fn expired(&self) -> Vec<i64> {
        let now = self.clock.monotonic();
        let leases = self.leases();
        let due = leases.iter().filter(|(_, deadline)| deadline.at <= now);
        due.map(|(lease, _)| *lease).collect()
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<i64, LeaseDeadline>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
