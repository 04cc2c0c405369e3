//! What we keep of each server: its address, its pool, its circuit, and how many calls are at it. A sick server takes
//! its own callers with it and nobody else's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolgate_data_core::{ServerView, refusal::UpstreamFailure};
use toolgate_model::ObjectName;
use toolgate_runtime::{Quota, QuotaPermit, SharedClock, budget::BudgetOwner, random};

use crate::circuit::{Admission, Circuit};

/// Calls that one server gets at a time from this proxy.
pub const CALLS_PER_SERVER: usize = 1024;

/// Calls from which on a server is crowded: what it takes beyond is shared out. Below that nobody is counted.
const CROWDED: usize = CALLS_PER_SERVER / 2;

/// Of what a crowded server takes beyond, how many calls are one principal's.
const SHARE: usize = CROWDED / 2;

/// Messages for which nobody waits that are under way to one server: as many as calls, each of which may be taken back.
pub(crate) const NOTES: usize = CALLS_PER_SERVER;

/// One server as we reach it. `T` is what is needed to reach it.
pub(crate) struct Station<T> {
    /// As configured: another configuration makes another station.
    pub(crate) server: Arc<ServerView>,
    pub(crate) target: T,
    circuit: Mutex<Circuit>,
    /// Whether the circuit has to be asked at all.
    troubled: AtomicBool,
    calls: AtomicUsize,
    /// Whose calls came when it was crowded.
    crowd: Arc<Quota>,
    notes: Arc<Semaphore>,
    clock: SharedClock,
    origin: Instant,
}

/// Leave for one call. Tell it how the call ended; one that is dropped untold counts as neither.
pub(crate) struct Leave<T> {
    station: Arc<Station<T>>,
    probe: bool,
    told: bool,
    /// Whether it counts as a call at the server.
    counted: bool,
    /// Whose share it is of.
    share: Option<QuotaPermit>,
}

/// All stations, by server.
pub(crate) struct Stations<T> {
    all: ArcSwap<BTreeMap<ObjectName, Arc<Station<T>>>>,
}

impl<T> Station<T> {
    pub(crate) fn new(server: Arc<ServerView>, target: T, clock: SharedClock) -> Self {
        Self {
            server,
            target,
            circuit: Mutex::default(),
            troubled: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            crowd: Quota::new(SHARE),
            notes: Arc::new(Semaphore::new(NOTES)),
            origin: clock.monotonic(),
            clock,
        }
    }

    /// Leave for something of our own, unless the server is being given a pause or has all it can take.
    pub(crate) fn leave(self: &Arc<Self>) -> Result<Leave<T>, UpstreamFailure> {
        self.enter(None)
    }

    /// Leave for a call of this holder; none also if the server is crowded and they have their share of it.
    pub(crate) fn leave_for(
        self: &Arc<Self>,
        holder: BudgetOwner,
    ) -> Result<Leave<T>, UpstreamFailure> {
        self.enter(Some(holder))
    }

    /// Room for a message for which nobody waits, until it is dropped. None while a server that takes none in has
    /// [`NOTES`] of them before it: it would be sent them without end, each on a connection of its own.
    pub(crate) fn note(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.notes).try_acquire_owned().ok()
    }

    fn enter(self: &Arc<Self>, holder: Option<BudgetOwner>) -> Result<Leave<T>, UpstreamFailure> {
        // Made first: what it counts is given back when it is dropped, whatever comes of it.
        let mut leave = Leave {
            station: Arc::clone(self),
            probe: false,
            told: false,
            counted: true,
            share: None,
        };
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        if before >= CALLS_PER_SERVER {
            return Err(UpstreamFailure::Busy);
        }
        if let Some(holder) = holder.filter(|_| before >= CROWDED) {
            let share = self.crowd.acquire(holder);
            leave.share = Some(share.ok_or(UpstreamFailure::Busy)?);
        }
        if self.troubled.load(Ordering::Relaxed) {
            let now = self.now();
            leave.probe = match self.circuit().admit(now) {
                Admission::Pass => false,
                Admission::Probe => true,
                Admission::Refused => return Err(UpstreamFailure::CircuitOpen),
            };
        }
        Ok(leave)
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        let passed = self
            .clock
            .monotonic()
            .saturating_duration_since(self.origin);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    fn change(&self, step: impl FnOnce(&mut Circuit)) {
        let (opened, closed) = {
            let mut circuit = self.circuit();
            let before = circuit.is_open();
            step(&mut circuit);
            self.troubled
                .store(!circuit.is_untroubled(), Ordering::Relaxed);
            (
                !before && circuit.is_open(),
                before && circuit.is_untroubled(),
            )
        };
        if opened {
            tracing::warn!(server = %self.server.name, "the server keeps failing and is given a pause");
        } else if closed {
            tracing::info!(server = %self.server.name, "the server answers again");
        }
    }
}

impl<T> Leave<T> {
    /// The server answered, whatever it said.
    pub(crate) fn worked(&mut self) {
        self.told = true;
        if self.station.troubled.load(Ordering::Relaxed) {
            self.station.change(Circuit::worked);
        }
    }

    /// The call ended so. Only what speaks of the server's health counts.
    pub(crate) fn failed(&mut self, failure: UpstreamFailure) {
        match failure {
            UpstreamFailure::Unreachable
            | UpstreamFailure::Timeout
            | UpstreamFailure::Broken
            | UpstreamFailure::Status => {
                self.told = true;
                let (probe, now) = (self.probe, self.station.now());
                self.station
                    .change(|circuit| circuit.failed(probe, now, random::number()));
            }
            // It answered, if not as it should: one caller's bad request must not close it to all others.
            UpstreamFailure::Malformed
            | UpstreamFailure::RateLimited
            | UpstreamFailure::TooLarge
            | UpstreamFailure::TooManyMessages
            | UpstreamFailure::StateTooLarge
            | UpstreamFailure::TooLargeAfterRewrite
            | UpstreamFailure::NeedsInput
            | UpstreamFailure::InputNotGiven
            | UpstreamFailure::SessionLost => self.worked(),
            // Never reached the server, or says nothing of it.
            UpstreamFailure::CircuitOpen
            | UpstreamFailure::Busy
            | UpstreamFailure::TooManyOpen(_)
            | UpstreamFailure::Overloaded
            | UpstreamFailure::ResponseBufferFull
            | UpstreamFailure::Credential => {}
        }
    }

    /// Nothing of the call is at the server any more, though the call has not ended.
    pub(crate) fn rests(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.station.calls.fetch_sub(1, Ordering::Relaxed);
        }
        drop(self.share.take());
    }

    pub(crate) fn station(&self) -> &Arc<Station<T>> {
        &self.station
    }
}

impl<T> Drop for Leave<T> {
    fn drop(&mut self) {
        self.rests();
        if self.probe && !self.told {
            let now = self.station.now();
            self.station.change(|circuit| circuit.abandoned(now));
        }
    }
}

impl<T> Stations<T> {
    pub(crate) fn new() -> Self {
        Self {
            all: ArcSwap::default(),
        }
    }

    /// The station of this server as it is configured; made by `make` if need be.
    pub(crate) fn of(
        &self,
        server: &Arc<ServerView>,
        make: impl FnOnce() -> Result<Station<T>, UpstreamFailure>,
    ) -> Result<Arc<Station<T>>, UpstreamFailure> {
        if let Some(station) = self.all.load().get(&server.name)
            && station.server.digest == server.digest
        {
            return Ok(Arc::clone(station));
        }
        let made = Arc::new(make()?);
        self.all.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            all.insert(server.name.clone(), Arc::clone(&made));
            all
        });
        Ok(made)
    }

    /// Forgets the stations of servers that are no longer configured.
    pub(crate) fn retain(&self, keep: impl Fn(&ObjectName) -> bool) {
        if self.all.load().keys().all(&keep) {
            return;
        }
        self.all.rcu(|all| {
            let kept = all.iter().filter(|(name, _)| keep(name));
            kept.map(|(name, station)| (name.clone(), Arc::clone(station)))
                .collect::<BTreeMap<_, _>>()
        });
    }

    /// Servers that are being given a pause.
    pub(crate) fn open_circuits(&self) -> usize {
        let all = self.all.load();
        let troubled = all
            .values()
            .filter(|station| station.troubled.load(Ordering::Relaxed));
        troubled
            .filter(|station| station.circuit().is_open())
            .count()
    }
}

#[cfg(test)]
mod tests;
