//! Control planes for the tests of this crate: the write path over a store with injectable faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, ObjectKey, OperatorObject, StoreState,
    port::{
        BoxFuture, CommitOutcome, Lease, PublishedState, Revision, Store, StoreError, StoreEvent,
        StoreKeyPage, StorePage, StoreSpace, StoreWatcher, SubmitError, Txn, TxnCompare,
        TxnOutcome, WatchBatch, WriteOp,
    },
};
use toolgate_model::{ObjectName, Slug, Timestamp};
use toolgate_runtime::{DrainTrigger, Metrics, Readiness, clock, drain};
use toolgate_store::EmbeddedStore;

use crate::{
    store_follower::{COMPARE_INTERVAL, StoreFollower},
    write_path::StoreWriter,
};

pub(crate) mod etcd_process;
mod objects;

pub(crate) use objects::{catalogue, credential, gateway, organization, proxy, server, token};

/// Store with injectable faults.
pub(crate) struct FaultyStore {
    inner: Mutex<Arc<dyn Store>>,
    /// Watches end and cannot be opened; commits and lists work.
    pub(crate) watch_unavailable: AtomicBool,
    /// Lists fail.
    pub(crate) list_unavailable: AtomicBool,
    /// Number of lists of keys and values.
    pub(crate) lists: AtomicU64,
    /// Number of lists of keys alone.
    pub(crate) key_lists: AtomicU64,
    /// Lists take this long.
    pub(crate) list_delay_millis: AtomicU64,
    /// Commits take this long and then fail; 0 for none.
    pub(crate) commit_delay_millis: AtomicU64,
    /// Drops one in this many watch events; 0 for none.
    pub(crate) drops_one_in: AtomicU64,
    /// Doubles one in this many watch events; 0 for none.
    pub(crate) doubles_one_in: AtomicU64,
    /// Number of commits that another control plane overtakes: it changes an object that the commit guards.
    pub(crate) overtaken: AtomicU64,
    /// Number of commits before which another control plane changes other objects.
    pub(crate) other_changes: AtomicU64,
    /// Number of commits.
    pub(crate) commits: AtomicU64,
    /// Commits succeed, but their response is lost.
    pub(crate) loses_responses: AtomicBool,
    /// Commits that were tried while they got stuck.
    pub(crate) stuck: AtomicU64,
    /// Commits wait while this is `true`.
    pub(crate) pauses: watch::Sender<bool>,
    /// Room that is reported; `None` for that of the underlying store.
    pub(crate) space: Mutex<Option<StoreSpace>>,
    /// Commits with puts find no room, until room is made.
    pub(crate) is_full: AtomicBool,
    event_count: Arc<AtomicU64>,
}

impl FaultyStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(memory()),
            watch_unavailable: AtomicBool::new(false),
            list_unavailable: AtomicBool::new(false),
            lists: AtomicU64::new(0),
            key_lists: AtomicU64::new(0),
            list_delay_millis: AtomicU64::new(0),
            commit_delay_millis: AtomicU64::new(0),
            drops_one_in: AtomicU64::new(0),
            doubles_one_in: AtomicU64::new(0),
            overtaken: AtomicU64::new(0),
            other_changes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            loses_responses: AtomicBool::new(false),
            stuck: AtomicU64::new(0),
            pauses: watch::Sender::new(false),
            space: Mutex::default(),
            is_full: AtomicBool::new(false),
            event_count: Arc::default(),
        })
    }

    /// Replaces the underlying store.
    pub(crate) fn restore(&self, other: Arc<dyn Store>) {
        *self.inner.lock().unwrap() = other;
    }

    /// Returns the underlying store.
    pub(crate) fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    /// Waits as long as a list takes.
    fn list_delay(&self) -> tokio::time::Sleep {
        let delay = self.list_delay_millis.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(delay))
    }

    fn check_watch(&self) -> Result<(), StoreError> {
        match self.watch_unavailable.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("deaf".to_owned())),
            false => Ok(()),
        }
    }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory(clock::system()).unwrap())
}

struct LossyWatcher {
    inner: Box<dyn StoreWatcher>,
    store: Arc<dyn Store>,
    event_count: Arc<AtomicU64>,
    drops_one_in: u64,
    doubles_one_in: u64,
}

impl LossyWatcher {
    /// Events that are delivered of this one: none, one or two.
    fn copies(&self, event: StoreEvent) -> Vec<StoreEvent> {
        let number = self.event_count.fetch_add(1, Ordering::Relaxed);
        let is_at = |every: u64, at: u64| every > 0 && number % every == at;
        if is_at(self.drops_one_in, 0) {
            return Vec::new();
        }
        if is_at(self.doubles_one_in, 1) {
            return vec![event.clone(), event];
        }
        vec![event]
    }
}

impl StoreWatcher for LossyWatcher {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchBatch, StoreError>> {
        Box::pin(async move {
            let _alive = &self.store;
            let mut batch = self.inner.next().await?;
            let events = std::mem::take(&mut batch.events).into_iter();
            batch.events = events.flat_map(|event| self.copies(event)).collect();
            Ok(batch)
        })
    }
}

/// Writes a key again.
async fn rewrite(store: &dyn Store, key: &str) -> Result<(), StoreError> {
    let page = store.list(key, None, 1, None).await?;
    for entry in page.entries {
        store.commit(put(&entry.key, &entry.value)).await?;
    }
    Ok(())
}

/// Returns an existing key that the transaction guards.
fn guarded_key(txn: &Txn) -> Option<String> {
    txn.compares.iter().find_map(|compare| match compare {
        TxnCompare::ModRevision(key, _) => Some(key.clone()),
        TxnCompare::Absent(_)
        | TxnCompare::ModRevisionAtLeast(..)
        | TxnCompare::NotModifiedAfter { .. } => None,
    })
}

impl Store for FaultyStore {
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage, StoreError>> {
        let (inner, prefix) = (self.inner(), prefix.to_owned());
        let after = after.map(str::to_owned);
        if self.list_unavailable.load(Ordering::Relaxed) {
            let error = StoreError::Unavailable("no quorum".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        self.lists.fetch_add(1, Ordering::Relaxed);
        let delay = self.list_delay();
        Box::pin(async move {
            let page = inner.list(&prefix, after.as_deref(), limit, at).await;
            delay.await;
            page
        })
    }

    fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StoreKeyPage, StoreError>> {
        let (inner, prefix) = (self.inner(), prefix.to_owned());
        let after = after.map(str::to_owned);
        if self.list_unavailable.load(Ordering::Relaxed) {
            let error = StoreError::Unavailable("no quorum".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        self.key_lists.fetch_add(1, Ordering::Relaxed);
        let delay = self.list_delay();
        Box::pin(async move {
            let page = inner.list_keys(&prefix, after.as_deref(), limit, at).await;
            delay.await;
            page
        })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        let inner = self.inner();
        let stuck = self.commit_delay_millis.load(Ordering::Relaxed);
        let puts = |write: &WriteOp| matches!(write, WriteOp::Put { .. });
        if self.is_full.load(Ordering::Relaxed) && txn.writes.iter().any(puts) {
            let error = StoreError::NoSpace("full".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        let forgets = self.loses_responses.load(Ordering::Relaxed);
        if stuck > 0 {
            self.stuck.fetch_add(1, Ordering::Relaxed);
        }
        let fewer = |left: u64| left.checked_sub(1);
        let (ordering, overtaken) = (Ordering::Relaxed, &self.overtaken);
        let is_overtaken = overtaken.fetch_update(ordering, ordering, fewer).is_ok();
        let others = &self.other_changes;
        let has_others = others.fetch_update(ordering, ordering, fewer).is_ok();
        let mut pauses = self.pauses.subscribe();
        self.commits.fetch_add(1, ordering);
        Box::pin(async move {
            drop(pauses.wait_for(|pauses| !*pauses).await);
            if is_overtaken && let Some(key) = guarded_key(&txn) {
                rewrite(inner.as_ref(), &key).await?;
            }
            if has_others {
                // Every change writes the version marker.
                rewrite(inner.as_ref(), &ObjectKey::Marker.to_string()).await?;
            }
            if stuck > 0 {
                tokio::time::sleep(Duration::from_millis(stuck)).await;
                return Err(StoreError::Unavailable("stuck".to_owned()));
            }
            let commit = inner.commit(txn).await?;
            match forgets {
                true => Err(StoreError::Unavailable("the answer was lost".to_owned())),
                false => Ok(commit),
            }
        })
    }

    fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> BoxFuture<'_, Result<Box<dyn StoreWatcher>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.check_watch()?;
            let store = self.inner();
            let inner = store.watch(&prefix, from).await?;
            Ok(Box::new(LossyWatcher {
                inner,
                store,
                event_count: Arc::clone(&self.event_count),
                drops_one_in: self.drops_one_in.load(Ordering::Relaxed),
                doubles_one_in: self.doubles_one_in.load(Ordering::Relaxed),
            }) as Box<dyn StoreWatcher>)
        })
    }

    fn grant_lease(&self, ttl_seconds: u64) -> BoxFuture<'_, Result<Lease, StoreError>> {
        let inner = self.inner();
        Box::pin(async move { inner.grant_lease(ttl_seconds).await })
    }

    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        let inner = self.inner();
        Box::pin(async move { inner.keep_alive(lease).await })
    }

    fn revoke_lease(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        let inner = self.inner();
        Box::pin(async move { inner.revoke_lease(lease).await })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        let inner = self.inner();
        Box::pin(async move { inner.compact(revision).await })
    }

    fn space(&self) -> BoxFuture<'_, Result<StoreSpace, StoreError>> {
        let (inner, set) = (self.inner(), *self.space.lock().unwrap());
        Box::pin(async move {
            match set {
                Some(space) => Ok(space),
                None => inner.space().await,
            }
        })
    }

    fn set_reserve_aside(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let inner = self.inner();
        Box::pin(async move { inner.set_reserve_aside().await })
    }

    fn reclaim(&self, reserve: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        self.is_full.store(false, Ordering::Relaxed);
        let inner = self.inner();
        Box::pin(async move { inner.reclaim(reserve).await })
    }
}

/// Write path with its follower. Ends when dropped.
pub(crate) struct WritePathFixture {
    pub(crate) writer: StoreWriter,
    pub(crate) resync: Arc<Notify>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    _trigger: DrainTrigger,
    follower: tokio::task::JoinHandle<()>,
}

impl Drop for WritePathFixture {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Starts a write path over `store`. Its first listing may still be in progress.
pub(crate) fn start(store: Arc<dyn Store>) -> WritePathFixture {
    start_comparing(store, COMPARE_INTERVAL)
}

/// Same as [`start`], with this interval of the full comparison.
pub(crate) fn start_comparing(store: Arc<dyn Store>, interval: Duration) -> WritePathFixture {
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let (drain, trigger) = drain::new();
    let (sender, published) = watch::channel(Arc::<PublishedState>::default());
    let clock = clock::system();
    let follower = StoreFollower::new(Arc::clone(&store), clock, sender, &readiness, &metrics);
    let follower = follower.with_compare_interval(interval);
    let resync = follower.resync();
    let follower = drain.spawn("store follower", follower.run(drain.clone()));
    let notify = Arc::clone(&resync);
    let writer = StoreWriter::new(store, published, clock::system(), notify, drain);
    WritePathFixture {
        writer,
        resync,
        metrics,
        readiness,
        _trigger: trigger,
        follower,
    }
}

/// Starts a write path that has read the store, and that has an epoch and the organization `acme`.
pub(crate) async fn ready(store: Arc<dyn Store>) -> WritePathFixture {
    let plane = start(store);
    plane.readiness.ready().await;
    crate::bootstrap::prepare(&plane.writer, &slug("acme"), 0)
        .await
        .unwrap();
    plane.shows(|state| !state.organizations.is_empty()).await;
    plane
}

impl WritePathFixture {
    pub(crate) async fn run(&self, command: Command) -> Result<CommitOutcome, SubmitError> {
        self.writer.write(&command, &context()).await
    }

    pub(crate) async fn create(
        &self,
        object: OperatorObject,
    ) -> Result<CommitOutcome, SubmitError> {
        self.run(Command::Create(object)).await
    }

    pub(crate) fn published(&self) -> Arc<PublishedState> {
        Arc::clone(&self.writer.published.borrow())
    }

    /// Waits until the published state satisfies `should`.
    pub(crate) async fn shows(&self, should: impl Fn(&StoreState) -> bool) {
        let mut published = self.writer.published.clone();
        let shown = published.wait_for(|published| should(&published.state));
        let shown = tokio::time::timeout(HANG_GUARD, shown).await;
        assert!(shown.is_ok(), "the state does not become what it should be");
    }
}

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(60);

pub(crate) fn context() -> CommandContext {
    CommandContext {
        now: Timestamp(1_700_000_000_000),
        author: CommandAuthor::SYSTEM,
        request: None,
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn name(id: &str) -> ObjectName {
    ObjectName::new(slug("acme"), slug(id))
}

pub(crate) fn put(key: &str, value: &[u8]) -> Txn {
    Txn {
        compares: Vec::new(),
        writes: vec![WriteOp::Put {
            key: key.to_owned(),
            value: value.to_vec(),
            lease: None,
        }],
    }
}
