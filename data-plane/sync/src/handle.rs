//! What the rest of the proxy reads: always there, never waiting.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use toolgate_data_core::{
    View,
    port::{Credentials, HeaderCredential, Pending, Revoked},
    refusal::UpstreamFailure,
};
use toolgate_model::{Slug, TokenHash, Version, snapshot::CredentialRef};

use rustls_pki_types::CertificateDer;
use toolgate_runtime::{Readiness, readiness::ReadyGuard, tls::HotIdentity};

use crate::{credentials::CredentialCache, keys::Keys};

/// Reads what sync has brought. Cheap to clone.
#[derive(Clone)]
pub struct SyncHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) credentials: CredentialCache,
    pub(crate) version: watch::Receiver<Version>,
    pub(crate) proxy_id: Slug,
}

/// Who this proxy is within its fleet, and whom it trusts there.
#[derive(Clone)]
pub struct Membership {
    /// What it presents; renewed in place.
    pub identity: HotIdentity,
    /// Who signs for the fleet.
    pub authority: CertificateDer<'static>,
}

/// How sync stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether a push stream stands.
    pub connected: bool,
    /// What is served.
    pub version: Version,
    /// Why the last attempt to connect failed; empty while connected.
    pub problem: String,
}

/// What the tasks write and requests read.
pub(crate) struct Shared {
    pub(crate) view: ArcSwap<View>,
    pub(crate) keys: ArcSwapOption<Keys>,
    revoked: ArcSwap<BTreeSet<TokenHash>>,
    revocations: watch::Sender<Arc<BTreeSet<TokenHash>>>,
    membership: watch::Sender<Option<Membership>>,
    pub(crate) status: ArcSwap<Status>,
    configured: AtomicBool,
    awaiting: Mutex<Option<ReadyGuard>>,
}

impl SyncHandle {
    /// The view of now, to be pinned for a whole request.
    pub fn current(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// The keys of now; none before the first control plane was reached, ever.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.shared.keys.load_full()
    }

    /// Whether a token was revoked after the view was built.
    pub fn is_revoked(&self, hash: &TokenHash) -> bool {
        self.shared.revoked.load().contains(hash)
    }

    /// The revoked tokens, as often as they change: without waiting for a view.
    pub fn revocations(&self) -> watch::Receiver<Arc<BTreeSet<TokenHash>>> {
        self.shared.revocations.subscribe()
    }

    /// Changes with every view.
    pub fn version(&self) -> watch::Receiver<Version> {
        self.version.clone()
    }

    /// Who this proxy is within its fleet, once it has joined; never without TLS.
    pub fn membership(&self) -> watch::Receiver<Option<Membership>> {
        self.shared.membership.subscribe()
    }

    /// How sync stands.
    pub fn status(&self) -> Arc<Status> {
        self.shared.status.load_full()
    }

    /// The id that this proxy goes by.
    pub fn proxy_id(&self) -> &Slug {
        &self.proxy_id
    }
}

impl Revoked for SyncHandle {
    fn is_revoked(&self, hash: &TokenHash) -> bool {
        Self::is_revoked(self, hash)
    }
}

impl Credentials for SyncHandle {
    fn held(&self, org: &Slug, credential: &CredentialRef) -> Option<Arc<HeaderCredential>> {
        self.credentials.held(org, credential)
    }

    fn resolve(
        &self,
        org: &Slug,
        credential: &CredentialRef,
    ) -> Pending<'_, Result<Arc<HeaderCredential>, UpstreamFailure>> {
        self.credentials.resolve(org, credential)
    }
}

impl Shared {
    /// Of a proxy that is not ready before it has a configuration and keys.
    pub(crate) fn awaiting(readiness: &Readiness) -> Self {
        let problem = "not connected yet".to_owned();
        let status = Status {
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
            status: ArcSwap::from_pointee(status),
            configured: AtomicBool::new(false),
            awaiting: Mutex::new(Some(readiness.block("configuration and keys"))),
        }
    }

    /// These tokens are revoked, and no others. Requests see it before anybody is told.
    pub(crate) fn set_revoked(&self, revoked: Arc<BTreeSet<TokenHash>>) {
        self.revoked.store(Arc::clone(&revoked));
        self.revocations.send_replace(revoked);
    }

    /// There is a certificate, and with it neighbours can be met.
    pub(crate) fn joined(&self, membership: Membership) {
        self.membership.send_replace(Some(membership));
    }

    /// There is a configuration.
    pub(crate) fn received(&self) {
        self.configured.store(true, Ordering::Release);
        self.settle();
    }

    /// Ready, if everything is there.
    pub(crate) fn settle(&self) {
        if self.configured.load(Ordering::Acquire) && self.keys.load().is_some() {
            let guard = self
                .awaiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(guard);
        }
    }

    /// Says whether that changed whether we are connected, or why not.
    pub(crate) fn set_status(&self, connected: bool, version: Version, problem: String) -> bool {
        let next = Status {
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
