//! Control planes for the tests of this crate: the write path over a store with injectable faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use toolgate_api::{Outcome, Published, SubmitError};
use toolgate_control_core::{
    Command, Context, Desired, State,
    port::{
        Batch, BoxFuture, Commit, Lease, Page, Revision, Store, StoreError, StoreEvent, Txn,
        Watcher, Write,
    },
};
use toolgate_model::{
    AdminRole, Binding, Catalogue, Definition, Digest, DriftPolicy, Era, EraPolicy, Gateway, Meta,
    Name, Organization, PrefixMode, Reach, RelayPolicy, Server, Sharing, Slug, Subject, Timeouts,
    Timestamp, Token, TokenHash,
};
use toolgate_runtime::{Metrics, Readiness, Trigger, clock, drain};
use toolgate_store::EmbeddedStore;

use crate::{follow::Follower, spine::Writer};

/// Store with injectable faults.
pub(crate) struct Faulty {
    inner: Mutex<Arc<dyn Store>>,
    /// Watches end and cannot be opened; commits and lists work.
    pub(crate) deaf: AtomicBool,
    /// Commits take this long and then fail; 0 for none.
    pub(crate) stuck_millis: AtomicU64,
    /// Drops one in this many watch events; 0 for none.
    pub(crate) loses_one_in: AtomicU64,
    /// Commits succeed, but their response is lost.
    pub(crate) forgets_answers: AtomicBool,
    told: Arc<AtomicU64>,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(memory()),
            deaf: AtomicBool::new(false),
            stuck_millis: AtomicU64::new(0),
            loses_one_in: AtomicU64::new(0),
            forgets_answers: AtomicBool::new(false),
            told: Arc::default(),
        })
    }

    /// Replaces the underlying store.
    pub(crate) fn restore(&self, other: Arc<dyn Store>) {
        *self.inner.lock().unwrap() = other;
    }

    fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    fn check_deaf(&self) -> Result<(), StoreError> {
        match self.deaf.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("deaf".to_owned())),
            false => Ok(()),
        }
    }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory(clock::system()).unwrap())
}

struct Lossy {
    inner: Box<dyn Watcher>,
    store: Arc<dyn Store>,
    faults: Arc<AtomicU64>,
    loses_one_in: u64,
}

impl Watcher for Lossy {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, StoreError>> {
        Box::pin(async move {
            let _alive = &self.store;
            let mut batch = self.inner.next().await?;
            if self.loses_one_in > 0 {
                let (faults, every) = (&self.faults, self.loses_one_in);
                let kept = |_: &StoreEvent| faults.fetch_add(1, Ordering::Relaxed) % every != 0;
                batch.events.retain(kept);
            }
            Ok(batch)
        })
    }
}

impl Store for Faulty {
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<Page, StoreError>> {
        let (inner, prefix) = (self.inner(), prefix.to_owned());
        let after = after.map(str::to_owned);
        Box::pin(async move { inner.list(&prefix, after.as_deref(), limit, at).await })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Commit, StoreError>> {
        let inner = self.inner();
        let stuck = self.stuck_millis.load(Ordering::Relaxed);
        let forgets = self.forgets_answers.load(Ordering::Relaxed);
        Box::pin(async move {
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
    ) -> BoxFuture<'_, Result<Box<dyn Watcher>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.check_deaf()?;
            let store = self.inner();
            let inner = store.watch(&prefix, from).await?;
            Ok(Box::new(Lossy {
                inner,
                store,
                faults: Arc::clone(&self.told),
                loses_one_in: self.loses_one_in.load(Ordering::Relaxed),
            }) as Box<dyn Watcher>)
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
}

/// Write path with its follower. Ends when dropped.
pub(crate) struct Plane {
    pub(crate) writer: Writer,
    pub(crate) suspicion: Arc<Notify>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    _trigger: Trigger,
    follower: tokio::task::JoinHandle<()>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Starts a write path over `store`. Its first listing may still be in progress.
pub(crate) fn start(store: Arc<dyn Store>) -> Plane {
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let (drain, trigger) = drain::new();
    let (sender, published) = watch::channel(Arc::<Published>::default());
    let unready = readiness.block("store");
    let follower = Follower::new(Arc::clone(&store), sender, unready, &metrics);
    let suspicion = follower.suspicion();
    let follower = drain.spawn("follower", follower.run(drain.clone()));
    let writer = Writer::new(store, published, clock::system(), Arc::clone(&suspicion));
    Plane {
        writer,
        suspicion,
        metrics,
        readiness,
        _trigger: trigger,
        follower,
    }
}

/// Starts a write path that has read the store, and that has an epoch and the organization `acme`.
pub(crate) async fn ready(store: Arc<dyn Store>) -> Plane {
    let plane = start(store);
    plane.readiness.ready().await;
    crate::bootstrap::prepare(&plane.writer, &slug("acme"))
        .await
        .unwrap();
    plane.shows(|state| !state.organizations.is_empty()).await;
    plane
}

impl Plane {
    pub(crate) async fn run(&self, command: Command) -> Result<Outcome, SubmitError> {
        self.writer.write(&command, &context()).await
    }

    pub(crate) async fn create(&self, object: Desired) -> Result<Outcome, SubmitError> {
        self.run(Command::Create(object)).await
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.writer.published.borrow())
    }

    /// Waits until the published state satisfies `should`.
    pub(crate) async fn shows(&self, should: impl Fn(&State) -> bool) {
        let mut published = self.writer.published.clone();
        let shown = published.wait_for(|published| should(&published.state));
        let shown = tokio::time::timeout(Duration::from_secs(10), shown).await;
        assert!(shown.is_ok(), "the state does not become what it should be");
    }
}

pub(crate) fn context() -> Context {
    Context {
        now: Timestamp(1_700_000_000_000),
        author: "system".to_owned(),
        request: None,
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn name(id: &str) -> Name {
    Name::new(slug("acme"), slug(id))
}

pub(crate) fn put(key: &str, value: &[u8]) -> Txn {
    Txn {
        guards: Vec::new(),
        writes: vec![Write::Put {
            key: key.to_owned(),
            value: value.to_vec(),
            lease: None,
        }],
    }
}

pub(crate) fn organization(id: &str) -> Organization {
    Organization {
        id: slug(id),
        meta: Meta::default(),
    }
}

pub(crate) fn server(id: &str) -> Server {
    Server {
        name: name(id),
        meta: Meta::default(),
        url: "http://127.0.0.1:9/mcp".parse().unwrap(),
        credential: None,
        era: EraPolicy::Probe,
        timeouts: Timeouts::default(),
        drift: DriftPolicy::Follow,
        relay: RelayPolicy::default(),
        sharing: Sharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    }
}

pub(crate) fn gateway(id: &str, server: &str) -> Gateway {
    Gateway {
        name: name(id),
        meta: Meta::default(),
        prefix: PrefixMode::Always,
        listing: toolgate_model::Listing::default(),
        bindings: vec![Binding::all(slug(server))],
        instructions: "Be kind.".to_owned(),
    }
}

pub(crate) fn catalogue(server: &str) -> Catalogue {
    let json = r#"{"description":"Reads","inputSchema":{"type":"object"},"name":"read"}"#;
    Catalogue {
        server: name(server),
        era: Some(Era::Modern),
        protocol_version: "2026-07-28".to_owned(),
        server_name: "files".to_owned(),
        server_version: "1".to_owned(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        tools: vec![Definition {
            name: "read".to_owned(),
            digest: Digest::of_bytes(json.as_bytes()),
            json: json.into(),
        }],
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: Timestamp(1_700_000_000_000),
        problem: None,
        problem_since: None,
    }
}

pub(crate) fn token(id: &str) -> Token {
    Token {
        name: name(id),
        meta: Meta::default(),
        scope: Subject::Organization,
        gateways: Reach::All,
        tools: Reach::Only(vec!["files__read".to_owned()]),
        expires: None,
        role: AdminRole::Viewer,
        hash: TokenHash(Digest::of_bytes(id.as_bytes()).0),
        revoked: None,
        hint: "archestra_abc".to_owned(),
        system: false,
    }
}
