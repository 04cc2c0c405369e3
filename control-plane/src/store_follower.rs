//! Keeps the published state equal to the store. Lists the store at one revision, watches from the next, lists again
//! when the history is compacted, and compares everything once a minute regardless of the watch. One task owns the
//! state; only this task applies changes and publishes.
//!
//! ```text
//! list --ok--> publish --> watch --batch--> apply --> publish
//!  ^  \--failed--> wait (full jitter) --> list   |
//!  \-- compacted, failed, resync requested, or a minute over
//! ```
//!
//! A listing older than the published state means that the store has been restored from a copy. It is adopted only with
//! a new epoch, because proxies rightly refuse older versions of the same epoch.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use toolgate_control_core::{
    CompileOutput, ControlObject, ListedObject, Revision, StoreState, compile,
    key::ROOT,
    port::{KeyValue, PublishedState, Store, StoreError, StoreEvent, StoreWatcher, WatchBatch},
    recompile,
    state::{ObjectEvent, QuarantinedObject},
};
use toolgate_model::Timestamp;
use toolgate_runtime::{
    Backoff, Drain, Metrics, SharedClock,
    metrics::{Counter, Gauge},
    random,
    readiness::ReadyGuard,
};

use crate::{
    receipt::{RecordReceipt, received},
    record_codec,
};

#[cfg(test)]
mod tests;

/// Interval of the full comparison with the store.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// Number of entries in one page of a listing.
const PAGE_ENTRIES: usize = 500;
/// Maximum number of pending batches merged into one publication.
const MAX_BATCHES: usize = 64;
/// Maximum number of unreadable entries logged at once.
const MAX_LOGGED: usize = 20;
/// Maximum number of earlier forms that are read of an entry that cannot be read.
const MAX_FORMS_READ: usize = 3;
/// Maximum number of reads of earlier forms at a time.
const MAX_CONCURRENT_READS: usize = 32;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

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
    quarantined: Gauge,
    problems: Gauge,
}

impl StoreFollower {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        published: watch::Sender<Arc<PublishedState>>,
        unready: ReadyGuard,
        metrics: &Metrics,
    ) -> Self {
        let counter = |name, what| metrics.counter(name, what, &[]);
        Self {
            store,
            clock,
            published,
            unready: Some(unready),
            resync: Arc::default(),
            compare_interval: COMPARE_INTERVAL,
            repairs: counter(
                "toolgate.store.repairs",
                "Differences that a full comparison with the store found",
            ),
            failures: counter("toolgate.store.failures", "Failed listings and watches"),
            backwards: counter(
                "toolgate.store.backwards",
                "Listings older than what was known, without a new epoch",
            ),
            quarantined: metrics.gauge("toolgate.state.quarantined", "Entries that cannot be read"),
            problems: metrics.gauge("toolgate.state.problems", "Resources that do not compile"),
        }
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
        let every = self.compare_interval;
        let mut compare = interval_at(Instant::now() + every, every);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let resync = self.resync();
        loop {
            let outcome = tokio::select! {
                batch = watcher.next() => match batch {
                    Ok(batch) => self.apply(batch, watcher).await,
                    Err(error) => Err(error),
                },
                _ = compare.tick() => self.compare().await,
                () = resync.notified() => self.compare().await,
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
    ) -> Result<(), StoreError> {
        let mut state = (*self.state()).clone();
        let now = self.clock.now();
        let mut take = |batch: WatchBatch| {
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
        let unchanged = state.has_same_compile_inputs(&self.state());
        self.publish(state, !unchanged).await;
        ended
    }

    /// Replaces the state by a full listing.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let before = self.state();
        let (listing, revision) = list(self.store.as_ref(), &before, self.clock.now()).await?;
        if revision < before.revision() {
            return self.adopt_restored(&before).await;
        }
        let first = self.unready.is_some();
        let (state, repairs) = before.relist(listing, revision);
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
        self.unready.take();
        Ok(())
    }

    /// Adopts a store that has been restored from a copy, if its epoch is newer.
    async fn adopt_restored(&mut self, before: &StoreState) -> Result<(), StoreError> {
        let nothing = StoreState::default();
        let (listing, revision) = list(self.store.as_ref(), &nothing, self.clock.now()).await?;
        let state = StoreState::from_listing(listing, revision);
        let (known, epoch) = (before.revision(), state.epoch());
        if epoch > before.epoch() {
            tracing::warn!(
                epoch,
                revision,
                "the store has been restored; its new epoch is adopted"
            );
            self.publish(state, true).await;
            return Ok(());
        }
        self.backwards.increment();
        tracing::error!(
            known,
            revision,
            "the store went back in time and is not followed; start a new epoch to adopt it"
        );
        let reason = "it went back in time without a new epoch".to_owned();
        Err(StoreError::Unavailable(reason))
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
            previous
        };
        log_unreadable(&self.state(), &state);
        self.quarantined.set(count(state.quarantine.len()));
        self.problems.set(count(compiled.problems.size()));
        self.published
            .send_replace(Arc::new(PublishedState { state, compiled }));
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
            "an entry of the store cannot be read"
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

/// Lists all entries of the store at one revision. Entries that `known` has at the same revision are not decoded again.
/// The last readable forms of entries that cannot be read, if the history has them, precede all entries.
async fn list(
    store: &dyn Store,
    known: &StoreState,
    now: Timestamp,
) -> Result<(Vec<ListedObject>, Revision), StoreError> {
    let (mut listing, mut unreadable) = (Vec::new(), Vec::new());
    let (mut at, mut after) = (None, None::<String>);
    loop {
        let page = store.list(ROOT, after.as_deref(), PAGE_ENTRIES, at).await?;
        at = Some(page.revision);
        after = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            let before = known.mod_revision(&entry.key);
            let unchanged =
                before == Some(entry.mod_revision) && !known.quarantine.contains_key(&entry.key);
            let receipt = match before {
                Some(_) => RecordReceipt::Written,
                None => RecordReceipt::Found,
            };
            let object = (!unchanged).then(|| decode(&entry, receipt, now));
            if matches!(object, Some(Err(_))) && before.is_none() {
                unreadable.push((entry.key.clone(), entry.mod_revision));
            }
            listing.push(ListedObject {
                key: entry.key,
                mod_revision: entry.mod_revision,
                object,
            });
        }
        if !page.more || after.is_none() {
            let mut all = earlier_forms(store, &unreadable).await;
            all.append(&mut listing);
            return Ok((all, page.revision));
        }
    }
}

/// Returns the last readable forms of entries that cannot be read. Many are read at a time, so that they do not delay a
/// start.
async fn earlier_forms(store: &dyn Store, unreadable: &[(String, Revision)]) -> Vec<ListedObject> {
    let mut forms = Vec::new();
    for entries in unreadable.chunks(MAX_CONCURRENT_READS) {
        let reads = entries
            .iter()
            .map(|(key, modified)| last_readable(store, key, *modified));
        forms.extend(join_all(reads).await.into_iter().flatten());
    }
    forms
}

/// Returns the last readable form of an entry that cannot be read, from the history of the store.
async fn last_readable(store: &dyn Store, key: &str, modified: Revision) -> Option<ListedObject> {
    let mut before = modified;
    for _ in 0..MAX_FORMS_READ {
        let at = Some(before.checked_sub(1)?);
        // Compacted history has no earlier form.
        let page = store.list(key, None, 1, at).await.ok()?;
        let mut entries = page.entries.into_iter();
        let entry = entries.find(|entry| entry.key == key)?;
        let object = record_codec::decode(&entry.key, &entry.value).map(|it| it.object);
        if object.is_ok() {
            return Some(ListedObject {
                key: entry.key,
                mod_revision: entry.mod_revision,
                object: Some(object),
            });
        }
        before = entry.mod_revision;
    }
    None
}

fn decode(
    entry: &KeyValue,
    receipt: RecordReceipt,
    now: Timestamp,
) -> Result<ControlObject, String> {
    let record = record_codec::decode(&entry.key, &entry.value)?;
    Ok(received(record, receipt, now))
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
