//! Read access to the synchronized state for the rest of the proxy. Readers never wait.

use std::{
    collections::BTreeSet,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use toolgate_data_core::{
    AuthnId, View,
    port::{
        BoxedFuture, CredentialRequest, CredentialResolver, RevocationList, UpstreamCredential,
    },
    refusal::UpstreamFailure,
};
use toolgate_model::{ServerHealth, Slug, Timestamp, Version};

use toolgate_runtime::{Readiness, readiness::ReadyGuard, tls::FleetMembership};

use crate::{call_log::CallLog, credentials::CredentialCache, keys::SharedKeys};

/// Handle to the synchronized state. Cheap to clone.
#[derive(Clone)]
pub struct SyncHandle {
    pub(crate) state: Arc<SyncState>,
    pub(crate) credentials: CredentialCache,
    pub(crate) version: watch::Receiver<Version>,
    pub(crate) proxy_id: Slug,
    pub(crate) region: Arc<str>,
}

/// Status of synchronization, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatus {
    /// True while a push stream is open.
    pub connected: bool,
    /// Version that is served.
    pub version: Version,
    /// Error of the last connection attempt; empty while connected.
    pub problem: String,
}

/// State written by the tasks and read by requests.
pub(crate) struct SyncState {
    pub(crate) view: ArcSwap<View>,
    pub(crate) keys: ArcSwapOption<SharedKeys>,
    revoked: ArcSwap<BTreeSet<AuthnId>>,
    revocations: watch::Sender<Arc<BTreeSet<AuthnId>>>,
    membership: watch::Sender<Option<FleetMembership>>,
    health: watch::Sender<Arc<[ServerHealth]>>,
    pub(crate) call_log: Arc<CallLog>,
    pub(crate) status: ArcSwap<SyncStatus>,
    serving_proxies: AtomicU32,
    /// End of the proxy's certificate in Unix milliseconds; 0 without one.
    certificate_end: AtomicU64,
    configured: AtomicBool,
    expelled: AtomicBool,
    readiness_guard: Mutex<Option<ReadyGuard>>,
}

impl SyncHandle {
    /// Returns the current view. A request uses one view from start to end.
    pub fn current(&self) -> Arc<View> {
        self.state.view.load_full()
    }

    /// Returns the current keys, or `None` before the first contact with a control plane, and if this proxy was deleted from
    /// the fleet.
    pub fn keys(&self) -> Option<Arc<SharedKeys>> {
        if self.state.expelled.load(Ordering::Acquire) {
            return None;
        }
        self.state.keys.load_full()
    }

    /// Returns `true` if the proof was revoked after the view was built.
    pub fn is_revoked(&self, authn: &AuthnId) -> bool {
        self.state.revoked.load().contains(authn)
    }

    /// Returns a receiver of the revoked proofs, which changes ahead of the view.
    pub fn revocations(&self) -> watch::Receiver<Arc<BTreeSet<AuthnId>>> {
        self.state.revocations.subscribe()
    }

    /// Returns the number of proxies that serve together, as told last by a control plane.
    pub fn serving_proxies(&self) -> NonZeroU32 {
        let proxies = self.state.serving_proxies.load(Ordering::Relaxed);
        NonZeroU32::new(proxies).unwrap_or(NonZeroU32::MIN)
    }

    /// Returns a receiver that changes with every view.
    pub fn version(&self) -> watch::Receiver<Version> {
        self.version.clone()
    }

    /// Returns a receiver of this proxy's fleet identity; `None` until it has joined, and always without TLS.
    pub fn membership(&self) -> watch::Receiver<Option<FleetMembership>> {
        self.state.membership.subscribe()
    }

    /// Hands over the health of the servers that fail or have failed lately, for the control plane.
    pub fn report_health(&self, servers: Vec<ServerHealth>) {
        self.state.health.send_replace(servers.into());
    }

    /// Returns the log of the requests of this proxy, which control planes read for operators.
    pub fn call_log(&self) -> &Arc<CallLog> {
        &self.state.call_log
    }

    /// Returns the current status.
    pub fn status(&self) -> Arc<SyncStatus> {
        self.state.status.load_full()
    }

    /// Returns the region of this proxy, or an empty string.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns the id of this proxy.
    pub fn proxy_id(&self) -> &Slug {
        &self.proxy_id
    }
}

impl RevocationList for SyncHandle {
    fn is_revoked(&self, authn: &AuthnId) -> bool {
        Self::is_revoked(self, authn)
    }
}

impl CredentialResolver for SyncHandle {
    fn held(&self, request: CredentialRequest<'_>) -> Option<Arc<UpstreamCredential>> {
        self.credentials.held(request)
    }

    fn resolve(
        &self,
        request: CredentialRequest<'_>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamCredential>, UpstreamFailure>> {
        self.credentials.resolve(request)
    }
}

impl SyncState {
    /// Creates the state of a proxy, which is not ready until it has a configuration and keys.
    pub(crate) fn new(readiness: &Readiness) -> Self {
        let problem = "not connected yet".to_owned();
        let status = SyncStatus {
            connected: false,
            version: Version::default(),
            problem,
        };
        Self {
            view: ArcSwap::from_pointee(View::empty()),
            keys: ArcSwapOption::empty(),
            revoked: ArcSwap::default(),
            revocations: watch::Sender::default(),
            membership: watch::Sender::default(),
            health: watch::Sender::new(Arc::new([])),
            call_log: Arc::default(),
            status: ArcSwap::from_pointee(status),
            serving_proxies: AtomicU32::new(1),
            certificate_end: AtomicU64::new(0),
            configured: AtomicBool::new(false),
            expelled: AtomicBool::new(false),
            readiness_guard: Mutex::new(Some(readiness.block("configuration and keys"))),
        }
    }

    /// Replaces the set of revoked proofs. Requests observe it before receivers are notified.
    pub(crate) fn set_revoked(&self, revoked: Arc<BTreeSet<AuthnId>>) {
        self.revoked.store(Arc::clone(&revoked));
        self.revocations.send_replace(revoked);
    }

    /// Sets the number of proxies that serve together. Returns `true` if it changed.
    pub(crate) fn set_serving_proxies(&self, proxies: NonZeroU32) -> bool {
        let before = self.serving_proxies.swap(proxies.get(), Ordering::Relaxed);
        before != proxies.get()
    }

    /// Returns the end of the proxy's certificate, if it has one.
    pub(crate) fn certificate_end(&self) -> Option<Timestamp> {
        let end = Timestamp(self.certificate_end.load(Ordering::Relaxed));
        (end != Timestamp(0)).then_some(end)
    }

    pub(crate) fn set_certificate_end(&self, end: Timestamp) {
        self.certificate_end.store(end.0, Ordering::Relaxed);
    }

    /// Returns a receiver of the health of the servers.
    pub(crate) fn health(&self) -> watch::Receiver<Arc<[ServerHealth]>> {
        self.health.subscribe()
    }

    /// Publishes the proxy's certificate, from which on peers can connect.
    pub(crate) fn set_membership(&self, membership: FleetMembership) {
        self.membership.send_replace(Some(membership));
    }

    /// Records whether this proxy was deleted from the fleet. Meanwhile requests find no keys, so that none is served.
    pub(crate) fn set_expelled(&self, is_expelled: bool) {
        self.expelled.store(is_expelled, Ordering::Release);
    }

    /// Records that a configuration has arrived.
    pub(crate) fn set_configured(&self) {
        self.configured.store(true, Ordering::Release);
        self.release_if_ready();
    }

    /// Marks the proxy as ready once configuration and keys are present.
    pub(crate) fn release_if_ready(&self) {
        if self.configured.load(Ordering::Acquire) && self.keys.load().is_some() {
            let guard = self
                .readiness_guard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(guard) = guard {
                guard.release();
            }
        }
    }

    /// Updates the status. Returns `true` if the connection state or the problem changed.
    pub(crate) fn set_status(&self, connected: bool, version: Version, problem: String) -> bool {
        let next = SyncStatus {
            connected,
            version,
            problem,
        };
        let former = self.status.swap(Arc::new(next.clone()));
        former.connected != next.connected || former.problem != next.problem
    }
}

impl fmt::Debug for SyncHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncHandle")
            .field("proxy_id", &self.proxy_id)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
