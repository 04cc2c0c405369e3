//! Keeps the published state equal to the store. Lists the store at one revision, watches from the next, lists again
//! when the history is compacted, and compares everything once a minute regardless of the watch. One task owns the
//! state; only this task applies changes and publishes.
//!
//! ```text
//! list --ok--> publish --> watch --batch--> apply --> publish
//!  ^  \--failed--> wait (full jitter) --> list   |
//!  \-- compacted, or failed
//! ```
//!
//! Every minute, and when a resync is requested, the store is listed beside the watch, and the listing is compared with
//! the state that the watch has led to meanwhile.
//!
//! A listing older than the published state, or with an older version marker, means that the store has been restored from a
//! copy. It is adopted only with a new epoch, because proxies rightly refuse older versions of the same epoch.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use toolgate_control_core::{
    CompileOutput, Revision, ServedChange, StoreContinuity, StoreRefusal, StoreState, compile,
    key::ROOT,
    port::{BoxFuture, PublishedState, Store, StoreError, StoreEvent, StoreWatcher, WatchBatch},
    recompile,
    state::{ObjectEvent, QuarantinedObject},
    store_history::continuity,
};
use toolgate_model::Timestamp;
use toolgate_runtime::{
    Backoff, Drain, Metrics, Readiness, SharedClock,
    metrics::{Counter, Gauge},
    random,
    readiness::ReadyGuard,
};

use crate::receipt::RecordReceipt;
use listing::{StoreListing, decode, list};

mod listing;
mod refusal;
#[cfg(test)]
mod tests;

/// Interval of the full comparison with the store.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of pending batches merged into one publication.
const MAX_BATCHES: usize = 64;
/// Maximum number of unreadable entries logged at once.
const MAX_LOGGED: usize = 20;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Comparison of the state with the store, which is listed.
struct StoreComparison {
    /// State when the listing began.
    before: Arc<StoreState>,
    listing: BoxFuture<'static, Result<StoreListing, StoreError>>,
    /// Keys whose deletions the watch has delivered since the listing began, with the revisions of the deletions.
    deleted: BTreeMap<String, Revision>,
}

/// Task that owns and publishes the state.
pub(crate) struct StoreFollower {
    store: Arc<dyn Store>,
    clock: SharedClock,
    published: watch::Sender<Arc<PublishedState>>,
    /// Blocks readiness until the first publication.
    unready: Option<ReadyGuard>,
    resync: Arc<Notify>,
    compare_interval: Duration,
    repairs: Counter,
    failures: Counter,
    backwards: Counter,
    refused: Gauge,
    quarantined: Gauge,
    problems: Gauge,
    readiness: Readiness,
    /// Blocks readiness while the store is not followed.
    blocked: Option<ReadyGuard>,
    /// True if the process serves clients from its last configuration also while the store is not followed.
    serves_clients: bool,
}

impl StoreFollower {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        published: watch::Sender<Arc<PublishedState>>,
        readiness: &Readiness,
        metrics: &Metrics,
    ) -> Self {
        let counter = |name, what| metrics.counter(name, what, &[]);
        Self {
            store,
            clock,
            published,
            unready: Some(readiness.block("store")),
            resync: Arc::default(),
            compare_interval: COMPARE_INTERVAL,
            repairs: counter(
                "toolgate.store.repairs",
                "Differences that a full comparison with the store found",
            ),
            failures: counter("toolgate.store.failures", "Failed listings and watches"),
            backwards: counter(
                "toolgate.store.backwards",
                "Stores that were lost or older than what was known, without a new epoch",
            ),
            refused: metrics.gauge(
                "toolgate.store.refused",
                "1 while the store is not followed, because it was lost or went back",
            ),
            quarantined: metrics.gauge("toolgate.state.quarantined", "Entries that cannot be read"),
            problems: metrics.gauge("toolgate.state.problems", "Resources that do not compile"),
            readiness: readiness.clone(),
            blocked: None,
            serves_clients: false,
        }
    }

    /// Keeps the process ready while the store is not followed: it serves clients, too.
    pub(crate) fn serving_clients(mut self, serves_clients: bool) -> Self {
        self.serves_clients = serves_clients;
        self
    }

    /// Compares everything with the store at another interval.
    #[cfg(test)]
    pub(crate) fn with_compare_interval(mut self, interval: Duration) -> Self {
        self.compare_interval = interval;
        self
    }

    /// Returns the notifier for a resync. Notify it to have the store listed at once, if the watch may have lost an
    /// event.
    pub(crate) fn resync(&self) -> Arc<Notify> {
        Arc::clone(&self.resync)
    }

    /// Follows the store until the drain starts.
    pub(crate) async fn run(mut self, drain: Drain) {
        let draining = drain.draining();
        tokio::select! {
            () = draining => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        loop {
            let error = self.list_then_watch(&mut backoff).await;
            let wait = backoff.next(random::number());
            if let StoreError::Compacted(revision) = error {
                tracing::info!(
                    revision,
                    ?wait,
                    "the store's history was compacted; listing again"
                );
                sleep(wait).await;
                continue;
            }
            if let StoreError::NotFollowed(_) = error {
                // Reported when it was refused.
                sleep(wait).await;
                continue;
            }
            self.failures.increment();
            tracing::warn!(%error, ?wait, "following the store failed; trying again");
            sleep(wait).await;
        }
    }

    /// Lists and watches the store. Returns the error that ended it.
    async fn list_then_watch(&mut self, backoff: &mut Backoff) -> StoreError {
        if let Err(error) = self.compare().await {
            return error;
        }
        let from = self.state().revision() + 1;
        let mut watcher = match self.store.watch(ROOT, from).await {
            Ok(watcher) => watcher,
            Err(error) => return error,
        };
        backoff.reset();
        self.watch(watcher.as_mut()).await
    }

    async fn watch(&mut self, watcher: &mut dyn StoreWatcher) -> StoreError {
        let mut comparison: Option<StoreComparison> = None;
        let every = self.compare_interval;
        let mut compare = interval_at(Instant::now() + every, every);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let resync = self.resync();
        loop {
            let outcome = tokio::select! {
                batch = watcher.next() => match batch {
                    Ok(batch) => self.apply(batch, watcher, comparison.as_mut()).await,
                    Err(error) => Err(error),
                },
                listed = StoreComparison::listed(&mut comparison) => {
                    // Requests made meanwhile are answered. A writer that still misses a commit asks again.
                    let _answered = resync.notified().now_or_never();
                    match (listed, comparison.take()) {
                        (Ok(listing), Some(ended)) => self.repair(listing, ended).await,
                        (Err(error), _) => Err(error),
                        (Ok(_), None) => Ok(()),
                    }
                }
                _ = compare.tick(), if comparison.is_none() => {
                    comparison = Some(self.begin_comparison());
                    Ok(())
                }
                () = resync.notified(), if comparison.is_none() => {
                    comparison = Some(self.begin_comparison());
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    /// Applies a batch and all batches that are already available, and publishes once.
    async fn apply(
        &mut self,
        batch: WatchBatch,
        watcher: &mut dyn StoreWatcher,
        mut comparison: Option<&mut StoreComparison>,
    ) -> Result<(), StoreError> {
        let before = self.state();
        let mut state = (*before).clone();
        let now = self.clock.now();
        let mut is_lost = false;
        let mut take = |batch: WatchBatch| {
            is_lost |= batch.events.iter().any(refusal::loses_deployment);
            if let Some(comparison) = &mut comparison {
                comparison.note_deletions(&batch);
            }
            let events = batch.events.into_iter();
            let events = events.map(|event| decode_event(event, now));
            state.apply(events, batch.revision);
        };
        take(batch);
        let mut ended = Ok(());
        for _ in 1..MAX_BATCHES {
            match watcher.next().now_or_never() {
                Some(Ok(batch)) => take(batch),
                Some(Err(error)) => {
                    ended = Err(error);
                    break;
                }
                None => break,
            }
        }
        let served = ServedChange::of(&before);
        if is_lost {
            return Err(self.refuse(StoreRefusal::Lost { served }));
        }
        if continuity(&served, &state) != Ok(StoreContinuity::Continues) {
            // A listing decides.
            let reason = "the watch does not continue what was known".to_owned();
            return Err(StoreError::Unavailable(reason));
        }
        let unchanged = state.has_same_compile_inputs(&before);
        self.publish(state, !unchanged).await;
        ended
    }

    /// Replaces the state by a full listing.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let followed = self.published.borrow().check_followed();
        if let Err(refused) = followed {
            return self.adopt_later_epoch(refused).await;
        }
        let mut comparison = Some(self.begin_comparison());
        let listing = StoreComparison::listed(&mut comparison).await?;
        match comparison {
            Some(ended) => self.repair(listing, ended).await,
            None => Ok(()),
        }
    }

    /// Begins to list the store.
    fn begin_comparison(&self) -> StoreComparison {
        let (store, now) = (Arc::clone(&self.store), self.clock.now());
        let before = self.state();
        let known = Arc::clone(&before);
        StoreComparison {
            before,
            listing: Box::pin(async move { list(store.as_ref(), &known, now).await }),
            deleted: BTreeMap::new(),
        }
    }

    /// Updates the state to a full listing.
    async fn repair(
        &mut self,
        (listing, revision): StoreListing,
        comparison: StoreComparison,
    ) -> Result<(), StoreError> {
        let known = &comparison.before;
        if revision < known.revision() || refusal::lacks_known_writes(&listing, known) {
            return self.adopt_restored().await;
        }
        let before = self.state();
        let first = self.unready.is_some();
        let (state, repairs) = before.relist_meanwhile(listing, revision, &comparison.deleted);
        if continuity(&ServedChange::of(&before), &state) != Ok(StoreContinuity::Continues) {
            return self.adopt_restored().await;
        }
        if !first && repairs != toolgate_control_core::state::ResyncStats::default() {
            let (writes, deletes) = (repairs.missed_writes, repairs.missed_deletes);
            self.repairs.add(count(writes + deletes));
            tracing::warn!(
                writes,
                deletes,
                "the watch had missed changes; repaired by listing"
            );
        }
        let unchanged = !first && state.has_same_compile_inputs(&before);
        self.publish(state, !unchanged).await;
        if let Some(unready) = self.unready.take() {
            unready.release();
        }
        Ok(())
    }

    fn state(&self) -> Arc<StoreState> {
        Arc::clone(&self.published.borrow().state)
    }

    /// Publishes state and snapshot together. Compiles on a blocking thread. If the compiler panics, the last snapshot
    /// stays published, and proxies keep their configuration.
    async fn publish(&self, state: StoreState, compiles: bool) {
        let state = Arc::new(state);
        let previous = Arc::clone(&self.published.borrow().compiled);
        let compiled = if compiles {
            let (input, kept) = (Arc::clone(&state), Arc::clone(&previous));
            let compiling = tokio::task::spawn_blocking(move || compiled(&input, &previous));
            compiling.await.map(Arc::new).unwrap_or_else(|error| {
                tracing::error!(%error, "compiling failed; the last snapshot stays in force");
                kept
            })
        } else {
            Arc::new(previous.advanced_to(&state))
        };
        log_unreadable(&self.state(), &state);
        self.quarantined.set(count(state.quarantine.len()));
        self.problems.set(count(compiled.problems.size()));
        self.published.send_replace(Arc::new(PublishedState {
            state,
            compiled,
            refusal: None,
        }));
    }
}

impl StoreComparison {
    /// Returns the listing when it is complete; waits forever without a comparison.
    async fn listed(comparison: &mut Option<Self>) -> Result<StoreListing, StoreError> {
        match comparison {
            Some(comparison) => comparison.listing.as_mut().await,
            None => std::future::pending().await,
        }
    }

    fn note_deletions(&mut self, batch: &WatchBatch) {
        for event in &batch.events {
            if let StoreEvent::Delete { key, revision } = event {
                self.deleted.insert(key.clone(), *revision);
            }
        }
    }
}

/// Logs the entries that cannot be read and that `before` did not have.
fn log_unreadable(before: &StoreState, state: &StoreState) {
    if Arc::ptr_eq(&before.quarantine, &state.quarantine) {
        return;
    }
    let is_new = |(key, entry): &(&String, &QuarantinedObject)| {
        let known = before.quarantine.get(*key);
        known.is_none_or(|known| known.mod_revision != entry.mod_revision)
    };
    for (key, entry) in state.quarantine.iter().filter(is_new).take(MAX_LOGGED) {
        let (reason, revision) = (&entry.reason, entry.mod_revision);
        let keeps_last_form = entry.keeps_last_form;
        tracing::error!(
            key,
            revision,
            reason,
            keeps_last_form,
            "an entry of the store cannot be read: restore it from a backup, or delete the object and create it again; \
             requests to a gateway without a last form are answered with 503 until then"
        );
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn compiled(state: &StoreState, previous: &CompileOutput) -> CompileOutput {
    if previous.snapshot.version.epoch != state.epoch() {
        return compile(state);
    }
    recompile(state, previous)
}

fn decode_event(event: StoreEvent, now: Timestamp) -> ObjectEvent {
    match event {
        StoreEvent::Put(entry) => ObjectEvent::Put {
            object: decode(&entry, RecordReceipt::Written, now),
            key: entry.key,
            modified: entry.mod_revision,
        },
        StoreEvent::Delete { key, revision } => ObjectEvent::Delete { key, revision },
    }
}
