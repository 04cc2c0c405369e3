//! Cache of upstream credentials: resolved over `credential.v1` ahead of their first use, held in memory, stored sealed
//! on disk, and dropped when no server of the view refers to them.

use std::{
    collections::BTreeMap,
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use toolgate_data_core::{
    View,
    port::{BoxedFuture, HeaderCredential},
    refusal::UpstreamFailure,
};
use toolgate_model::{Slug, Timestamp, Version, snapshot::CredentialRef};
use toolgate_proto::credential::v1::{ResolveRequest, credentials_client::CredentialsClient};
use toolgate_runtime::{Backoff, Drain, SharedClock, random};
use toolgate_wire::{ProtoConversion as _, keys::ResolvedCredential};
use zeroize::Zeroizing;

use crate::{
    control_channels::ControlChannels, disk::SealedDirectory, handle, options::ProxyContext,
    secret::SecretBytes,
};

const FILE: &str = "credentials";

/// Timeout of resolving a credential.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of credentials that are resolved concurrently ahead of use.
const MAX_CONCURRENT_RESOLVES: usize = 4;

/// Time before expiry at which a credential is resolved again.
const REFRESH_AHEAD: Duration = Duration::from_secs(60);

/// Interval at which expiring credentials are looked for.
const REFRESH_INTERVAL: Duration = Duration::from_secs(20);

/// Cache of resolved credentials. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CredentialCache {
    inner: Arc<CacheState>,
}

struct CacheState {
    table: ArcSwap<CredentialTable>,
    /// Serializes changes of the table, which are copy-on-write.
    write_lock: Mutex<()>,
    pending: Mutex<BTreeMap<CredentialKey, PendingResolve>>,
    changed: Notify,
    channels: ControlChannels,
    clock: SharedClock,
    drain: Drain,
}

type CredentialTable = BTreeMap<Slug, BTreeMap<Slug, CachedCredential>>;
type CredentialKey = (Slug, Slug, u64);
type ResolveResult = Result<Arc<HeaderCredential>, UpstreamFailure>;
type PendingResolve = Shared<BoxFuture<'static, ResolveResult>>;

#[derive(Clone)]
struct CachedCredential {
    revision: u64,
    expires: Option<Timestamp>,
    value: Arc<HeaderCredential>,
}

#[derive(Serialize, Deserialize)]
struct StoredCredential {
    org: Slug,
    id: Slug,
    revision: u64,
    expires: Option<Timestamp>,
    header: String,
    value: SecretBytes,
}

impl CredentialCache {
    /// Creates a cache with the credentials stored on disk.
    pub(crate) fn new(
        link: ControlChannels,
        machine: &ProxyContext,
        disk: Option<&SealedDirectory>,
    ) -> Self {
        let held = ArcSwap::from_pointee(disk.map(load).unwrap_or_default());
        let inner = CacheState {
            table: held,
            write_lock: Mutex::default(),
            pending: Mutex::default(),
            changed: Notify::new(),
            channels: link,
            clock: Arc::clone(&machine.clock),
            drain: machine.drain.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns the credential if it is cached, not expired, and at least of the requested revision.
    pub(crate) fn held(&self, org: &Slug, wanted: &CredentialRef) -> Option<Arc<HeaderCredential>> {
        let table = self.inner.table.load();
        let held = table.get(org)?.get(&wanted.id)?;
        let now = self.inner.clock.now();
        let usable = held.revision >= wanted.revision && held.expires.is_none_or(|at| now < at);
        usable.then(|| Arc::clone(&held.value))
    }

    /// Returns the credential, resolving it if necessary. Concurrent callers share one request, which completes even if
    /// no caller waits for it any more.
    pub(crate) fn resolve(
        &self,
        org: &Slug,
        wanted: &CredentialRef,
    ) -> BoxedFuture<'_, ResolveResult> {
        if let Some(held) = self.held(org, wanted) {
            return Box::pin(ready(Ok(held)));
        }
        let (org, wanted) = (org.clone(), wanted.clone());
        Box::pin(async move { self.resolve_once(&org, &wanted).await })
    }

    fn resolve_once(&self, org: &Slug, wanted: &CredentialRef) -> PendingResolve {
        let key = (org.clone(), wanted.id.clone(), wanted.revision);
        let mut flights = self.inner.pending();
        let flight = flights.entry(key.clone()).or_insert_with(|| {
            let inner = Arc::clone(&self.inner);
            let fetch = async move {
                let answer = inner.fetch(&key).await;
                inner.pending().remove(&key);
                answer
            };
            // Runs as a task of its own, so that it is polled independently of its callers.
            let fetched = self.inner.drain.spawn("credential", fetch);
            let answer = async { fetched.await.unwrap_or(Err(UpstreamFailure::Credential)) };
            answer.boxed().shared()
        });
        flight.clone()
    }

    /// Keeps all credentials of the view resolved until the drain has settled.
    pub(crate) async fn follow(
        self,
        shared: Arc<handle::SyncState>,
        mut version: watch::Receiver<Version>,
        disk: Option<Arc<SealedDirectory>>,
        machine: ProxyContext,
        reconnect: (Duration, Duration),
    ) {
        let mut backoff = Backoff::new(reconnect.0, reconnect.1);
        let mut kept = self.inner.table.load_full();
        let mut lacking = 0;
        loop {
            version.borrow_and_update();
            let view = shared.view.load_full();
            let now_lacking = tokio::select! {
                () = machine.drain.settled() => return,
                lacking = self.refresh(&view) => lacking,
            };
            drop(view);
            if let Some(disk) = &disk {
                kept = self.persist(disk, kept).await;
            }
            if now_lacking != lacking && now_lacking > 0 {
                tracing::warn!(count = now_lacking, "credentials cannot be resolved yet");
            }
            lacking = now_lacking;
            let wait = if lacking == 0 {
                backoff.reset();
                REFRESH_INTERVAL
            } else {
                backoff.next(random::number())
            };
            tokio::select! {
                () = machine.drain.settled() => return,
                _ = version.changed() => {}
                () = self.inner.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Resolves the missing credentials of the view and drops unused ones. Returns the number that could not be
    /// resolved.
    async fn refresh(&self, view: &View) -> usize {
        let mut named: BTreeMap<(Slug, Slug), u64> = BTreeMap::new();
        for server in view.servers() {
            if let Some(credential) = &server.credential {
                let key = (server.name.org.clone(), credential.id.clone());
                let revision = named.entry(key).or_default();
                *revision = credential.revision.max(*revision);
            }
        }
        self.inner
            .retain(|org, id| named.contains_key(&(org.clone(), id.clone())));
        let soon = self.inner.clock.now().after(REFRESH_AHEAD);
        let lacking = named.into_iter().filter(|((org, id), revision)| {
            let table = self.inner.table.load();
            let held = table.get(org).and_then(|ids| ids.get(id));
            held.is_none_or(|held| {
                held.revision < *revision || held.expires.is_some_and(|at| at <= soon)
            })
        });
        let resolved = stream::iter(lacking)
            .map(|((org, id), revision)| self.resolve_once(&org, &CredentialRef { id, revision }));
        let resolved: Vec<ResolveResult> = resolved
            .buffer_unordered(MAX_CONCURRENT_RESOLVES)
            .collect()
            .await;
        resolved.iter().filter(|answer| answer.is_err()).count()
    }

    /// Stores the table on disk unless it is unchanged. Returns the table that is on disk.
    async fn persist(
        &self,
        disk: &Arc<SealedDirectory>,
        kept: Arc<CredentialTable>,
    ) -> Arc<CredentialTable> {
        let table = self.inner.table.load_full();
        if Arc::ptr_eq(&table, &kept) {
            return kept;
        }
        let (disk, writing) = (Arc::clone(disk), Arc::clone(&table));
        let written = spawn_blocking(move || {
            let kept: Vec<StoredCredential> = writing
                .iter()
                .flat_map(|(org, ids)| stored_credentials(org, ids))
                .collect();
            let bytes = serde_json::to_vec(&kept).map(Zeroizing::new);
            // Serialization of this type cannot fail.
            disk.save(FILE, &bytes.unwrap_or_default())
        });
        match written.await {
            Ok(Ok(())) => table,
            Ok(Err(error)) => {
                tracing::warn!(%error, "credentials could not be kept");
                kept
            }
            Err(_cut_off) => kept,
        }
    }
}

impl CacheState {
    async fn fetch(&self, (org, id, revision): &CredentialKey) -> ResolveResult {
        let request = ResolveRequest {
            org: org.to_string(),
            credential: id.to_string(),
            revision: *revision,
        };
        let asked = async {
            let mut client = CredentialsClient::new(self.channels.shared_channel().await);
            client.resolve(request).await
        };
        let answer = match timeout(RESOLVE_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                let why = status.message();
                tracing::debug!(%org, credential = %id, why, "a credential cannot be resolved");
                return Err(UpstreamFailure::Credential);
            }
            Err(_elapsed) => {
                tracing::debug!(%org, credential = %id, "a credential was not resolved in time");
                return Err(UpstreamFailure::Credential);
            }
        };
        let resolved = ResolvedCredential::from_proto(&answer).map_err(|error| {
            tracing::warn!(%org, credential = %id, %error, "a resolved credential is not valid");
            UpstreamFailure::Credential
        })?;
        if resolved.revision < *revision {
            tracing::warn!(%org, credential = %id, "an older credential was resolved than asked for");
            return Err(UpstreamFailure::Credential);
        }
        let value = Arc::new(HeaderCredential {
            name: resolved.header.into_boxed_str(),
            value: Zeroizing::new(resolved.value.expose().to_vec()),
        });
        let (revision, expires) = (resolved.revision, resolved.expires);
        let held = CachedCredential {
            revision,
            expires,
            value: Arc::clone(&value),
        };
        self.change(|table| {
            table
                .entry(org.clone())
                .or_default()
                .insert(id.clone(), held);
        });
        self.changed.notify_one();
        Ok(value)
    }

    fn retain(&self, named: impl Fn(&Slug, &Slug) -> bool) {
        let table = self.table.load();
        let all = |(org, ids): (&Slug, &BTreeMap<Slug, CachedCredential>)| {
            ids.keys().all(|id| named(org, id))
        };
        if table.iter().all(all) {
            return;
        }
        self.change(|table| {
            for (org, ids) in table.iter_mut() {
                ids.retain(|id, _held| named(org, id));
            }
            table.retain(|_org, ids| !ids.is_empty());
        });
    }

    fn change(&self, change: impl FnOnce(&mut CredentialTable)) {
        let _one_at_a_time = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut table = self.table.load().as_ref().clone();
        change(&mut table);
        self.table.store(Arc::new(table));
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<CredentialKey, PendingResolve>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored_credentials(org: &Slug, ids: &BTreeMap<Slug, CachedCredential>) -> Vec<StoredCredential> {
    let kept = |(id, held): (&Slug, &CachedCredential)| StoredCredential {
        org: org.clone(),
        id: id.clone(),
        revision: held.revision,
        expires: held.expires,
        header: held.value.name.to_string(),
        value: SecretBytes(held.value.value.to_vec()),
    };
    ids.iter().map(kept).collect()
}

fn load(disk: &SealedDirectory) -> CredentialTable {
    let Some(bytes) = disk.load(FILE) else {
        return CredentialTable::new();
    };
    let Ok(kept) = serde_json::from_slice::<Vec<StoredCredential>>(&bytes) else {
        disk.quarantine(FILE);
        return CredentialTable::new();
    };
    let mut table = CredentialTable::new();
    for StoredCredential {
        org,
        id,
        revision,
        expires,
        header,
        value,
    } in kept
    {
        let (name, value) = (header.into(), Zeroizing::new(value.0.clone()));
        let value = Arc::new(HeaderCredential { name, value });
        table.entry(org).or_default().insert(
            id,
            CachedCredential {
                revision,
                expires,
                value,
            },
        );
    }
    table
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}
