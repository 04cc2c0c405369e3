//! Applies the decisions of the [`AdmissionTable`]: holds a permit for each open connection, and closes evicted ones.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Resource, getrlimit};
use tokio::{task::AbortHandle, time::Instant};

use super::{
    admission::{Admission, AdmissionTable, ConnectionId},
    limits::ConnectionLimits,
};
use crate::budget::BudgetOwner;

/// Value of [`ConnectionSeat::holds`] of an evicted connection.
const EVICTED: u32 = u32::MAX / 2;

/// Counts the open connections of a listener and makes room for new ones.
#[derive(Debug)]
pub struct ConnectionLimiter {
    created_at: Instant,
    admitted: Mutex<AdmittedConnections>,
}

#[derive(Debug)]
struct AdmittedConnections {
    table: AdmissionTable,
    seats: HashMap<ConnectionId, Arc<ConnectionSeat>>,
    refused: u64,
    evicted: u64,
}

/// Permit of one admitted connection; released on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    id: ConnectionId,
    seat: Arc<ConnectionSeat>,
}

/// Place of an admitted connection, which it loses to a new one only while nothing holds it.
#[derive(Debug, Default)]
pub struct ConnectionSeat {
    holds: AtomicU32,
    task: OnceLock<AbortHandle>,
}

/// Guard that protects a connection from eviction, typically for the time of a request.
#[derive(Debug)]
pub struct SeatGuard(Arc<ConnectionSeat>);

impl ConnectionLimiter {
    /// Creates the limiter of a listener. The limit of open files of the process applies too.
    pub fn new(limits: &ConnectionLimits) -> Arc<Self> {
        let descriptors = getrlimit(Resource::Nofile).current;
        let limits = limits.clone().within_descriptors(descriptors);
        let table = AdmissionTable::new(&limits);
        Arc::new(Self {
            created_at: Instant::now(),
            admitted: Mutex::new(AdmittedConnections {
                table,
                seats: HashMap::new(),
                refused: 0,
                evicted: 0,
            }),
        })
    }

    /// Returns a permit for a connection from `address`, or `None` if there is no room and no idle connection makes any.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let now = self.created_at.elapsed();
        let mut admitted = self.admitted();
        let AdmittedConnections { table, seats, .. } = &mut *admitted;
        let seat_of = |id: ConnectionId| seats.get(&id);
        let try_evict = |id| seat_of(id).is_none_or(|seat| seat.try_evict());
        let id = match table.admit(address, now, try_evict) {
            Admission::Admitted(id) => id,
            Admission::AdmittedInsteadOf {
                admitted: id,
                evicted,
            } => {
                admitted.evicted += 1;
                let closing = admitted.seats.remove(&evicted);
                if let Some(task) = closing.as_ref().and_then(|seat| seat.task.get()) {
                    task.abort();
                }
                id
            }
            Admission::Refused => {
                admitted.refused += 1;
                return None;
            }
        };
        let seat = Arc::<ConnectionSeat>::default();
        admitted.seats.insert(id, Arc::clone(&seat));
        drop(admitted);
        let limiter = Arc::clone(self);
        Some(ConnectionPermit { limiter, id, seat })
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.admitted().table.len()
    }

    /// Returns the numbers of connections that were refused and evicted so far.
    pub(super) fn losses(&self) -> (u64, u64) {
        let admitted = self.admitted();
        (admitted.refused, admitted.evicted)
    }

    fn admitted(&self) -> MutexGuard<'_, AdmittedConnections> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Returns the seat, by which requests protect the connection.
    pub fn seat(&self) -> &Arc<ConnectionSeat> {
        &self.seat
    }

    /// Counts the connection for an identity, such as that of its certificate, instead of its address. Returns `false` if
    /// the connection has to be closed: the identity has its maximum number of connections.
    pub fn identify(&self, identity: BudgetOwner) -> bool {
        self.limiter.admitted().table.identify(self.id, identity)
    }
}

impl ConnectionSeat {
    /// Protects the connection until the guard is dropped. Returns `None` if the connection is being closed: nothing may
    /// be started for it.
    pub fn hold(self: &Arc<Self>) -> Option<SeatGuard> {
        if self.holds.fetch_add(1, Ordering::AcqRel) >= EVICTED {
            return None;
        }
        Some(SeatGuard(Arc::clone(self)))
    }

    /// Sets the task that serves the connection. Eviction aborts it.
    pub fn set_task(&self, task: AbortHandle) {
        // Set once, by the accept loop.
        let _again = self.task.set(task);
    }

    fn try_evict(&self) -> bool {
        self.holds
            .compare_exchange(0, EVICTED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut admitted = self.limiter.admitted();
        admitted.table.close(self.id);
        admitted.seats.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
