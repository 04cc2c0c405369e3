//! Watches over the room of the store: measures it, admits writes by priority, compacts history when the store fills up,
//! makes room in a full one, and reports what operators should know.
//!
//! ```text
//! measure every 5 s --> half full: compact history that is older than a minute
//!                   --> crowded, with free pages: return them (the leader, at most every ten minutes)
//!                   --> full: give up the reserve, compact, return free pages (any control plane)
//! ```

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify, watch},
    time::{Instant, sleep},
};
use toolgate_api::{CLOCKS, OBJECTS, faults_of_objects};
use toolgate_control_core::{
    Revision,
    command::WritePriority,
    key::ROOT,
    port::{PublishedState, SpaceLevel, Store, StoreError, StoreSpace},
};
use toolgate_runtime::{Drain, Metrics, Readiness, metrics::Gauge, readiness::WarningContent};

use crate::{clock_warnings::clock_warnings, leader_election::Leadership};

#[cfg(test)]
mod tests;

/// Interval of the measurements.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of objects whose faults are named.
const MAX_NAMED: usize = 20;
/// Share of the quota, in percent, from which on history is compacted.
const COMPACTED_PERCENT: u64 = 50;
/// Age of history that is compacted.
const HISTORY_AGE: Duration = Duration::from_secs(60);
/// Minimum interval between two returns of free pages in a store that still takes configuration.
const RETURN_INTERVAL: Duration = Duration::from_secs(600);
/// Minimum interval between two returns of free pages in a store that takes only deletions and revocations.
const URGENT_RETURN_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum interval between two attempts to make room in a full store.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(30);

/// Admission of writes by the room of the store. Shared by `Arc`.
#[derive(Default)]
pub(crate) struct SpaceMonitor {
    space: Mutex<StoreSpace>,
    /// Requests a measurement at once.
    measure: Notify,
    /// Time of the last attempt to make room. Locked during an attempt.
    reclaimed: AsyncMutex<Option<Instant>>,
}

/// Task that measures the store.
pub(crate) struct SpaceMonitorTask {
    pub(crate) monitor: Arc<SpaceMonitor>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) published: watch::Receiver<Arc<PublishedState>>,
    pub(crate) leadership: Leadership,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: SpaceMetrics,
    /// Revisions that were published, with their times.
    pub(crate) revisions: VecDeque<(Instant, Revision)>,
}

/// Gauges of the room.
pub(crate) struct SpaceMetrics {
    used: Gauge,
    quota: Gauge,
    clocks_off: Gauge,
}

impl SpaceMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let used = "Bytes of the store that count against its quota";
        Self {
            used: metrics.gauge("toolgate.store.used_bytes", used),
            quota: metrics.gauge("toolgate.store.quota_bytes", "Quota of the store in bytes"),
            clocks_off: metrics.gauge(
                "toolgate.proxies.clocks_off",
                "Connected proxies whose clock differs from that of their control plane",
            ),
        }
    }
}

impl SpaceMonitor {
    /// Succeeds if there is room for a write of this priority.
    pub(crate) fn admit(&self, priority: WritePriority) -> Result<(), StoreError> {
        let space = *self.space();
        if space.admits(priority) {
            return Ok(());
        }
        self.measure.notify_one();
        let (percent, remedy) = (space.percent(), space.remedy);
        let accepted = match priority {
            WritePriority::Observation => "observations are not stored",
            WritePriority::Configuration | WritePriority::Removal => {
                "only deletions and revocations are accepted"
            }
        };
        let quota = format_bytes(space.quota);
        Err(StoreError::NoSpace(format!(
            "the store is {percent} % full (of {quota}): {accepted}; {remedy}"
        )))
    }

    /// Succeeds if there is room for a write of this priority and of so many bytes, all of which would be made before the
    /// next measurement.
    pub(crate) fn admit_bytes(
        &self,
        priority: WritePriority,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let space = *self.space();
        let after = StoreSpace {
            used: space.used.saturating_add(bytes),
            ..space
        };
        if after.admits(priority) {
            return Ok(());
        }
        self.measure.notify_one();
        let (percent, quota) = (space.percent(), format_bytes(space.quota));
        let (bytes, remedy) = (format_bytes(bytes), space.remedy);
        Err(StoreError::NoSpace(format!(
            "the store is {percent} % full (of {quota}), and {bytes} of definitions would leave too little room for what \
             operators write: they are not stored; {remedy}"
        )))
    }

    /// Returns the last measurement.
    pub(crate) fn space(&self) -> MutexGuard<'_, StoreSpace> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room in a full store for a removal. Concurrent calls share one attempt.
    pub(crate) async fn make_room(&self, store: &dyn Store) -> Result<(), StoreError> {
        let called = Instant::now();
        self.space().is_full = true;
        let mut last = self.reclaimed.lock().await;
        if last.is_some_and(|last| last > called) {
            return Ok(());
        }
        tracing::warn!("the store is full: its reserve is given up for a deletion or revocation");
        self.reclaim(store, true, &mut last).await
    }

    /// Makes room, unless that was tried less than `interval` ago.
    async fn reclaim_after(&self, interval: Duration, store: &dyn Store) {
        let mut last = self.reclaimed.lock().await;
        if last.is_none_or(|last| last.elapsed() >= interval) {
            tracing::warn!(
                "the store fills up: its history is compacted, and free pages are returned"
            );
            let _logged = self.reclaim(store, false, &mut last).await;
        }
    }

    async fn reclaim(
        &self,
        store: &dyn Store,
        reserve: bool,
        last: &mut Option<Instant>,
    ) -> Result<(), StoreError> {
        let made = store.reclaim(reserve).await;
        *last = Some(Instant::now());
        self.measure.notify_one();
        made.inspect_err(|error| tracing::error!(%error, "no room could be made in the store"))
    }
}

impl SpaceMonitorTask {
    /// Measures until the drain starts.
    pub(crate) async fn run(mut self, drain: Drain) {
        loop {
            self.check().await;
            tokio::select! {
                () = drain.draining() => return,
                () = sleep(CHECK_INTERVAL) => {}
                () = self.monitor.measure.notified() => {}
            }
        }
    }

    /// Measures the store once and acts on the result.
    pub(crate) async fn check(&mut self) {
        let mut warnings = Vec::new();
        // Linearizable: answers only with a quorum.
        let answers = self.store.list(ROOT, None, 1, None).await;
        if let Err(error) = &answers {
            warnings.push(WarningContent::failure(
                "STORE_UNAVAILABLE",
                format!(
                    "does not answer: nothing can be written or revoked, and what is shown may be out of date ({error})"
                ),
            ));
        }
        match self.store.space().await {
            Ok(space) => {
                self.observe(space);
                if answers.is_ok() {
                    self.maintain(space).await;
                }
            }
            Err(error) if answers.is_ok() => {
                let text = format!("its size cannot be measured: {error}");
                warnings.push(text.into());
            }
            Err(_) => {}
        }
        warnings.extend(room_warning(&self.monitor.space()));
        self.readiness.set_warnings("store", warnings);
        let published = Arc::clone(&self.published.borrow());
        let faults = faults_of_objects(&published).take(MAX_NAMED);
        let faults = faults.map(|fault| format!("{}: {}", fault.subject, fault.text));
        self.readiness.set_warnings(OBJECTS, faults.collect());
        let (clocks, count) = clock_warnings(&published.state);
        self.readiness.set_warnings(CLOCKS, clocks);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.clocks_off.set(count);
    }

    fn observe(&self, space: StoreSpace) {
        let before = std::mem::replace(&mut *self.monitor.space(), space);
        self.metrics.used.set(space.used);
        self.metrics.quota.set(space.quota);
        if before.level() != space.level() {
            let (level, percent) = (space.level(), space.percent());
            if space.level() > before.level() {
                tracing::warn!(?level, percent, remedy = space.remedy, "the store fills up");
            } else {
                tracing::info!(?level, percent, "the store has more room");
            }
        }
    }

    async fn maintain(&mut self, space: StoreSpace) {
        let old = self.old_revision();
        let leads = self.leadership.fence().is_some();
        if space.is_full {
            let store = self.store.as_ref();
            self.monitor.reclaim_after(RECLAIM_INTERVAL, store).await;
            return;
        }
        if space.level() < SpaceLevel::Crowded
            && let Err(error) = self.store.set_reserve_aside().await
        {
            tracing::warn!(%error, "the reserve of the store could not be written");
        }
        if !leads {
            return;
        }
        if space.percent() >= COMPACTED_PERCENT
            && let Some(old) = old
            && let Err(error) = self.store.compact(old).await
        {
            tracing::warn!(%error, "the history of the store could not be compacted");
        }
        if space.level() >= SpaceLevel::Crowded && space.reusable.saturating_mul(4) >= space.used {
            let interval = match space.level() {
                SpaceLevel::Reserved => URGENT_RETURN_INTERVAL,
                SpaceLevel::Ample | SpaceLevel::Warned | SpaceLevel::Crowded => RETURN_INTERVAL,
            };
            let store = self.store.as_ref();
            self.monitor.reclaim_after(interval, store).await;
        }
    }

    /// Returns the latest revision that is older than [`HISTORY_AGE`].
    fn old_revision(&mut self) -> Option<Revision> {
        let revision = self.published.borrow().state.revision();
        self.revisions.push_back((Instant::now(), revision));
        let is_old = |(at, _): &(Instant, Revision)| at.elapsed() >= HISTORY_AGE;
        while self.revisions.get(1).is_some_and(is_old) {
            self.revisions.pop_front();
        }
        let oldest = self.revisions.front();
        oldest
            .filter(|it| is_old(it))
            .map(|(_, revision)| *revision)
    }
}

/// Returns the warning about the room, if any.
fn room_warning(space: &StoreSpace) -> Option<WarningContent> {
    let consequence = match space.level() {
        SpaceLevel::Ample => return None,
        SpaceLevel::Warned => "from 80 % on, changes of servers are not noticed",
        SpaceLevel::Crowded => "changes of servers are not noticed any more",
        SpaceLevel::Reserved => "only deletions and revocations are accepted",
    };
    let (percent, quota) = (space.percent(), format_bytes(space.quota));
    let remedy = space.remedy;
    let text = format!("{percent} % of {quota} in use: {consequence}; {remedy}");
    Some(match space.level() {
        SpaceLevel::Reserved => WarningContent::failure("STORE_FULL", text),
        SpaceLevel::Ample | SpaceLevel::Warned | SpaceLevel::Crowded => text.into(),
    })
}

fn format_bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes if mebibytes < 4096 => format!("{mebibytes} MiB"),
        mebibytes => format!("{} GiB", mebibytes >> 10),
    }
}
