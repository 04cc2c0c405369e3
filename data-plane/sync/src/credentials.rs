//! Cache of upstream credentials: resolved over `credential.v1`, held in memory, stored encrypted on disk, and dropped when
//! their server no longer refers to them. Credentials that all principals share are resolved ahead of their first use,
//! once for all of them; a personal one is resolved when its principal first needs it.

mod failed_attempts;
mod stored;
mod table;

use std::{
    collections::BTreeMap,
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream,
};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use toolgate_data_core::{
    View,
    port::{BoxedFuture, CredentialField, CredentialRequest, UpstreamCredential},
    refusal::UpstreamFailure,
};
use toolgate_model::{
    CredentialScope, ObjectName, Principal, PrincipalSubject, Version, snapshot::CredentialRef,
};
use toolgate_proto::credential::v1::{
    self as pb, ResolveRequest, credentials_client::CredentialsClient,
};
use toolgate_runtime::{Backoff, Drain, SharedClock, random};
use toolgate_wire::{ProtoConversion as _, keys::ResolvedCredential};
use zeroize::Zeroizing;

use crate::{
    control_channels::ControlChannels, disk::EncryptedDirectory, handle, options::ProxyContext,
};

use failed_attempts::FailedAttempts;
use table::{CachedCredential, CredentialTable};

/// Timeout of resolving a credential.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for resolving a credential of which an earlier revision is held.
const HELD_RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

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
    table: CredentialTable,
    pending: Mutex<BTreeMap<PendingKey, PendingResolve>>,
    failed_attempts: FailedAttempts,
    changed: Notify,
    channels: ControlChannels,
    config: watch::Receiver<Version>,
    clock: SharedClock,
    drain: Drain,
}

/// Entry of a credential in the table of those being resolved; removes it on drop, so that the next request resolves the
/// credential again, however this one ended.
struct PendingEntry {
    state: Arc<CacheState>,
    key: PendingKey,
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        self.state.pending().remove(&self.key);
    }
}

/// Credential being resolved. Without a principal, it is shared by all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PendingKey {
    server: ObjectName,
    credential: CredentialRef,
    principal: Option<Principal>,
}

/// Reason why a control plane did not resolve a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResolveFailure {
    /// No answer, or an answer that is older than the request.
    Unanswered,
    /// Refusal, or an answer that is not valid.
    Refused,
}

type ResolveResult = Result<Arc<UpstreamCredential>, UpstreamFailure>;
type PendingResolve = Shared<BoxFuture<'static, ResolveResult>>;

impl PendingKey {
    fn of(request: CredentialRequest<'_>) -> Self {
        let CredentialRequest {
            server,
            reference,
            principal,
        } = request;
        Self {
            server: server.clone(),
            credential: reference.clone(),
            principal: match reference.scope {
                CredentialScope::Shared => None,
                CredentialScope::PerPrincipal => Some(principal.clone()),
            },
        }
    }
}

impl CredentialCache {
    /// Creates a cache with the credentials stored on disk, as far as `view` refers to them.
    pub(crate) fn new(
        channels: ControlChannels,
        context: &ProxyContext,
        disk: Option<&EncryptedDirectory>,
        view: &View,
        config: watch::Receiver<Version>,
    ) -> Self {
        let table = CredentialTable::default();
        for (server, principal, cached) in disk
            .map(|disk| stored::load(disk, view))
            .into_iter()
            .flatten()
        {
            table.insert(&server, principal, cached, context.now());
        }
        let inner = CacheState {
            table,
            pending: Mutex::default(),
            failed_attempts: FailedAttempts::default(),
            changed: Notify::new(),
            channels,
            config,
            clock: Arc::clone(&context.clock),
            drain: context.drain.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns the credential if it is cached, not expired, and at least of the requested revision.
    pub(crate) fn held(&self, request: CredentialRequest<'_>) -> Option<Arc<UpstreamCredential>> {
        self.inner.table.held(request, self.inner.clock.now())
    }

    /// Returns the credential, resolving it if necessary. Concurrent callers share one request, which completes even if
    /// no caller waits for it any more. After a failed attempt, an earlier revision is returned at once for a while.
    pub(crate) fn resolve(&self, request: CredentialRequest<'_>) -> BoxedFuture<'_, ResolveResult> {
        if let Some(held) = self.held(request) {
            return Box::pin(ready(Ok(held)));
        }
        let key = PendingKey::of(request);
        if let Some(earlier) = self.inner.after_failed_attempt(&key) {
            return Box::pin(ready(Ok(earlier)));
        }
        Box::pin(async move { self.resolve_once(key).await })
    }

    fn resolve_once(&self, key: PendingKey) -> PendingResolve {
        let mut flights = self.inner.pending();
        let flight = flights.entry(key.clone()).or_insert_with(|| {
            let state = Arc::clone(&self.inner);
            // Starts when it is first polled, without the lock: the entry may be dropped at any point from then on.
            let answer = async move {
                let drain = state.drain.clone();
                let entry = PendingEntry { state, key };
                let fetch = async move { entry.state.fetch(&entry.key).await };
                // Runs as a task of its own, so that it is polled independently of its callers.
                let fetched = drain.spawn("credential", fetch);
                fetched.await.unwrap_or(Err(UpstreamFailure::Credential))
            };
            answer.boxed().shared()
        });
        flight.clone()
    }

    /// Keeps the shared credentials of the view resolved until the drain has settled.
    pub(crate) async fn follow(
        self,
        shared: Arc<handle::SyncState>,
        mut version: watch::Receiver<Version>,
        disk: Option<Arc<EncryptedDirectory>>,
        context: ProxyContext,
        reconnect: (Duration, Duration),
    ) {
        let mut backoff = Backoff::new(reconnect.0, reconnect.1);
        let mut stored = self.inner.table.changes();
        let mut lacking = 0;
        loop {
            version.borrow_and_update();
            let view = shared.view.load_full();
            let now_lacking = tokio::select! {
                () = context.drain.settled() => return,
                lacking = self.refresh(&view) => lacking,
            };
            drop(view);
            if let Some(disk) = &disk {
                stored = self.persist(disk, stored).await;
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
                () = context.drain.settled() => return,
                _ = version.changed() => {}
                () = self.inner.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Resolves the missing shared credentials of the view and drops unused ones. Returns the number that could not be
    /// resolved.
    async fn refresh(&self, view: &View) -> usize {
        self.inner.table.retain(|server, credential| {
            let server = view.server(server);
            let reference = server.and_then(|server| server.credential.as_ref());
            reference.is_some_and(|reference| reference.id == *credential)
        });
        let soon = self.inner.clock.now().after(REFRESH_AHEAD);
        let shared = view.servers().filter_map(|server| {
            let reference = server.credential.as_ref()?;
            (reference.scope == CredentialScope::Shared).then(|| PendingKey {
                server: server.name.clone(),
                credential: reference.clone(),
                principal: None,
            })
        });
        let table = &self.inner.table;
        let lacking: Vec<PendingKey> = shared
            .filter(|key| !table.is_fresh(&key.server, &key.credential, soon))
            .collect();
        let resolved = stream::iter(lacking.clone()).map(|key| self.resolve_once(key));
        let _results: Vec<ResolveResult> = resolved
            .buffer_unordered(MAX_CONCURRENT_RESOLVES)
            .collect()
            .await;
        // A credential of which an earlier revision is presented is still lacking.
        let now = self.inner.clock.now();
        let is_lacking = |key: &&PendingKey| !table.is_fresh(&key.server, &key.credential, now);
        lacking.iter().filter(is_lacking).count()
    }

    /// Stores the table on disk unless it is unchanged since the change numbered `stored`. Returns the number of the
    /// change that is on disk.
    async fn persist(&self, disk: &Arc<EncryptedDirectory>, stored: u64) -> u64 {
        let changes = self.inner.table.changes();
        if changes == stored {
            return stored;
        }
        let (disk, inner) = (Arc::clone(disk), Arc::clone(&self.inner));
        let written = spawn_blocking(move || stored::save(&disk, inner.table.entries()));
        match written.await {
            Ok(Ok(())) => changes,
            Ok(Err(error)) => {
                tracing::warn!(%error, "credentials could not be kept");
                stored
            }
            Err(_cut_off) => stored,
        }
    }
}

impl CacheState {
    /// Resolves a credential. If the control plane does not answer, an earlier revision of the same credential is returned: calls
    /// go on with it, as they would if the control plane had been gone before the change. It keeps the hosts that it was set for.
    async fn fetch(&self, key: &PendingKey) -> ResolveResult {
        let PendingKey {
            server,
            credential,
            principal,
        } = key;
        let request = ResolveRequest {
            org: server.org.to_string(),
            credential: credential.id.to_string(),
            revision: credential.revision,
            server: server.id.to_string(),
            principal: principal.as_ref().map(principal_to_proto),
            config_revision: self.config.borrow().revision,
        };
        let id = &credential.id;
        let now = self.clock.now();
        let earlier = self.table.earlier(server, id, principal.as_ref(), now);
        let limit = match earlier {
            Some(_) => HELD_RESOLVE_TIMEOUT,
            None => RESOLVE_TIMEOUT,
        };
        let answer = timeout(limit, self.ask(request)).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            tracing::debug!(%server, credential = %id, "a credential was not resolved in time");
            Err(ResolveFailure::Unanswered)
        });
        self.conclude(key, answer, earlier)
    }

    /// Sends a request to a control plane.
    async fn ask(&self, request: ResolveRequest) -> Result<ResolvedCredential, ResolveFailure> {
        let (org, server) = (request.org.clone(), request.server.clone());
        let credential = request.credential.clone();
        let mut client = CredentialsClient::new(self.channels.shared_channel().await);
        let answer = client.resolve(request).await.map_err(|status| {
            let reason = status.message();
            tracing::debug!(%org, %server, %credential, reason, "a credential cannot be resolved");
            match is_unanswered(status.code()) {
                true => ResolveFailure::Unanswered,
                false => ResolveFailure::Refused,
            }
        })?;
        ResolvedCredential::from_proto(&answer.into_inner()).map_err(|error| {
            tracing::warn!(%org, %server, %credential, %error, "a resolved credential is not valid");
            ResolveFailure::Refused
        })
    }

    /// Caches the answer, or returns the earlier revision in place of an answer that is missing or older than requested.
    fn conclude(
        &self,
        key: &PendingKey,
        answer: Result<ResolvedCredential, ResolveFailure>,
        earlier: Option<Arc<UpstreamCredential>>,
    ) -> ResolveResult {
        let (server, id) = (&key.server, &key.credential.id);
        let answer = answer.and_then(|resolved| {
            if resolved.revision < key.credential.revision {
                tracing::warn!(%server, credential = %id, "an older credential was resolved than requested");
                return Err(ResolveFailure::Unanswered);
            }
            Ok(resolved)
        });
        let resolved = match answer {
            Ok(resolved) => resolved,
            Err(ResolveFailure::Unanswered) => {
                if earlier.is_some() {
                    self.failed_attempts.note(key.clone());
                }
                return earlier.ok_or(UpstreamFailure::Credential);
            }
            Err(ResolveFailure::Refused) => {
                self.failed_attempts.forget(key);
                return Err(UpstreamFailure::Credential);
            }
        };
        self.failed_attempts.forget(key);
        let fields = resolved.fields.into_iter().map(|field| CredentialField {
            place: field.place,
            name: field.name.into_boxed_str(),
            value: Zeroizing::new(field.value.expose().to_vec()),
        });
        let value = UpstreamCredential::of_fields(fields.collect(), resolved.hosts);
        let value = Arc::new(value);
        let cached = CachedCredential {
            credential: id.clone(),
            revision: resolved.revision,
            expires: resolved.expires,
            value: Arc::clone(&value),
        };
        let now = self.clock.now();
        self.table
            .insert(server, key.principal.clone(), cached, now);
        self.changed.notify_one();
        Ok(value)
    }

    /// Returns the value of this credential in any revision if an attempt to resolve it has just failed.
    fn after_failed_attempt(&self, key: &PendingKey) -> Option<Arc<UpstreamCredential>> {
        if !self.failed_attempts.is_recent(key) {
            return None;
        }
        let (id, principal) = (&key.credential.id, key.principal.as_ref());
        let now = self.clock.now();
        self.table.earlier(&key.server, id, principal, now)
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<PendingKey, PendingResolve>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if the status tells of the connection, and is no answer of a control plane about the credential.
fn is_unanswered(code: tonic::Code) -> bool {
    use tonic::Code;
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

fn principal_to_proto(principal: &Principal) -> pb::Principal {
    let (mut token_uid, mut provider_uid, mut external) =
        (String::new(), String::new(), String::new());
    let subject = match &principal.subject {
        PrincipalSubject::AllCallers => pb::principal::Subject::Organization(true),
        PrincipalSubject::Token { id, uid } => {
            token_uid = uid.to_string();
            pb::principal::Subject::Token(id.to_string())
        }
        PrincipalSubject::Team(id) => pb::principal::Subject::Team(id.to_string()),
        PrincipalSubject::User(id) => pb::principal::Subject::User(id.to_string()),
        PrincipalSubject::External {
            provider,
            uid,
            subject,
        } => {
            (provider_uid, external) = (uid.to_string(), subject.to_string());
            pb::principal::Subject::Provider(provider.to_string())
        }
    };
    pb::Principal {
        subject: Some(subject),
        token_uid,
        provider_uid,
        external_subject: external,
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
