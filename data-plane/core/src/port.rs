//! Interfaces between the crates of the data plane. The implementations are connected in `data-plane/src`.

use std::{
    any::Any,
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use toolgate_model::{
    CredentialHosts, CredentialScope, ObjectName, Principal, SessionSharing, Timestamp,
    snapshot::CredentialRef,
};
use zeroize::Zeroizing;

use crate::{
    AuthnId, ServerView,
    endpoint_choice::EndpointStatus,
    notify::topic_subscriptions::{ChangeTopics, TopicChange},
    refusal::UpstreamFailure,
    session::{
        in_flight_calls::InFlightCalls,
        session_id::{ClientCapabilities, RANDOM_LEN},
        upstream_log_level::UpstreamLogLevel,
    },
};

/// Boxed future returned by object-safe trait methods.
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Proofs revoked after the view was built. Implemented by `sync`.
pub trait RevocationList: Send + Sync {
    /// Returns `true` if the proof with this id was revoked.
    fn is_revoked(&self, authn: &AuthnId) -> bool;
}

/// Source of credentials for servers. Implemented by `sync`, used by `upstream`.
pub trait CredentialResolver: Send + Sync {
    /// Returns the credential if it is cached. Does not wait; takes no lock for a credential shared by all principals.
    fn held(&self, request: CredentialRequest<'_>) -> Option<Arc<UpstreamCredential>>;

    /// Returns the credential, fetching it if necessary.
    fn resolve(
        &self,
        request: CredentialRequest<'_>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamCredential>, UpstreamFailure>>;
}

/// Credential that a call needs: which one, for which server, on whose behalf.
#[derive(Debug, Clone, Copy)]
pub struct CredentialRequest<'a> {
    /// Server that the credential is presented to.
    pub server: &'a ObjectName,
    /// Reference of that server.
    pub reference: &'a CredentialRef,
    /// Principal on whose behalf the server is called. Irrelevant for a credential that all principals share.
    pub principal: &'a Principal,
}

/// Endpoints of servers with their health. Implemented by `upstream` for servers run elsewhere.
pub trait EndpointResolver: Send + Sync {
    /// Returns the endpoints of the server. Asynchronous, because a server may have to be started first.
    fn resolve<'a>(
        &'a self,
        server: &'a ServerView,
    ) -> BoxedFuture<'a, Result<Vec<EndpointStatus>, UpstreamFailure>>;
}

/// Sessions with legacy servers. Implemented by `session`, used by callers of `upstream`.
pub trait UpstreamSessionProvider: Send + Sync {
    /// Returns the session if it is established. Does not wait and does not send a message to an actor.
    fn established(&self, key: &UpstreamSessionKey) -> Option<Arc<UpstreamSessionHandle>>;

    /// Returns the session, opening it if necessary. Concurrent callers share one handshake.
    fn open(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamSessionHandle>, UpstreamFailure>>;

    /// Replaces the session `lost`, which the server no longer knows. It is replaced once for all callers that
    /// noticed.
    fn reopen(
        &self,
        key: &UpstreamSessionKey,
        lost: &Arc<UpstreamSessionHandle>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamSessionHandle>, UpstreamFailure>>;
}

/// Transport of upstream sessions. Implemented by `upstream`, used by `session`.
pub trait UpstreamSessionTransport: Send + Sync + 'static {
    /// Sends `initialize`, then `notifications/initialized`.
    fn initialize(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<HandshakeResult, UpstreamFailure>>;

    /// Sends DELETE for the session. Failures are ignored.
    fn terminate(&self, key: &UpstreamSessionKey, session: &str) -> BoxedFuture<'static, ()>;
}

/// Transport of change feeds. Implemented by `upstream`, used by `session`.
pub trait ChangeFeedTransport: Send + Sync + 'static {
    /// Opens a feed of these topics, under the server's own names.
    fn open(
        &self,
        key: &UpstreamSessionKey,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, Result<Box<dyn ChangeFeed>, UpstreamFailure>>;
}

/// Open stream of resource updates and task status from one server.
pub trait ChangeFeed: Send + 'static {
    /// Topics that the server agreed to.
    fn agreed(&self) -> &ChangeTopics;

    /// Returns the next change, or `None` when the feed has ended. Cancel safe.
    fn next(&mut self) -> BoxedFuture<'_, Option<TopicChange>>;

    /// Changes the topics of the feed. No change that is received meanwhile is lost.
    fn change(
        self: Box<Self>,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, Result<Box<dyn ChangeFeed>, UpstreamFailure>>;

    /// Closes the feed and tells the server. Failures are ignored.
    fn close(self: Box<Self>) -> BoxedFuture<'static, ()>;
}

/// Credential as it is presented to a server.
#[derive(Debug, Clone)]
pub enum UpstreamCredential {
    /// Header with a fixed value.
    Header(HeaderCredential),
}

/// Credential sent to a server in one header.
#[derive(Clone)]
pub struct HeaderCredential {
    /// Header name in lower case.
    pub name: Box<str>,
    /// Header value.
    pub value: Zeroizing<Vec<u8>>,
    /// Origins that the header may be sent to.
    pub hosts: CredentialHosts,
}

/// Identity of an upstream session. Callers with equal keys share one session with the server.
#[derive(Debug, Clone)]
pub struct UpstreamSessionKey {
    /// Server as configured. Another URL or credential makes another session.
    pub server: Arc<ServerView>,
    /// Principal on whose behalf the session is opened.
    pub principal: Arc<Principal>,
    /// Legacy client session that this upstream session is reserved for, if the server's policy separates sessions.
    pub client_session: Option<[u8; RANDOM_LEN]>,
    /// Client capabilities declared to the server.
    pub capabilities: ClientCapabilities,
}

/// Result of the `initialize` handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeResult {
    /// `Mcp-Session-Id`, if the server assigned one.
    pub session: Option<Box<str>>,
    /// Negotiated protocol version.
    pub version: Box<str>,
    /// The server's capabilities object, JSON.
    pub capabilities: Box<str>,
    /// State of the transport, if a session consists of more than its id.
    pub transport: Option<TransportState>,
}

/// Opaque state that the transport keeps with a session.
#[derive(Clone)]
pub struct TransportState(pub Arc<dyn Any + Send + Sync>);

/// Established upstream session. Immutable except for its counters.
pub struct UpstreamSessionHandle {
    /// Result of the handshake.
    pub handshake: HandshakeResult,
    /// Calls in flight that can receive server requests.
    pub calls: InFlightCalls,
    /// Log level set on the server.
    pub log_level: UpstreamLogLevel,
    next_id: AtomicU64,
    last_used: AtomicU64,
    rejections: AtomicUsize,
}

/// Maximum number of concurrent responses to server requests that belong to no call, per session.
pub const MAX_CONCURRENT_REJECTIONS: usize = 8;

/// Permit for one such response; released on drop.
pub struct RejectionPermit(Arc<UpstreamSessionHandle>);

impl UpstreamSessionKey {
    /// Creates a key by the server's sharing policy. `conversation` is the caller's legacy session, if any. Modern
    /// callers have none and are separated by principal.
    pub fn new(
        server: &Arc<ServerView>,
        principal: &Arc<Principal>,
        conversation: Option<[u8; RANDOM_LEN]>,
        capabilities: ClientCapabilities,
    ) -> Self {
        // A session opened with the credential of one principal must not serve another one.
        let personal = server
            .credential
            .as_ref()
            .is_some_and(|credential| credential.scope == CredentialScope::PerPrincipal);
        let sharing = match server.sharing {
            SessionSharing::Shared if personal => SessionSharing::PerPrincipal,
            sharing @ (SessionSharing::Shared
            | SessionSharing::PerPrincipal
            | SessionSharing::PerSession) => sharing,
        };
        let (principal, client_session) = match sharing {
            SessionSharing::PerPrincipal => (Arc::clone(principal), None),
            SessionSharing::PerSession => (Arc::clone(principal), conversation),
            SessionSharing::Shared => {
                let shared = Principal::all_callers(server.name.org.clone());
                (Arc::new(shared), None)
            }
        };
        Self {
            server: Arc::clone(server),
            principal,
            client_session,
            capabilities,
        }
    }
}

impl UpstreamSessionHandle {
    /// Creates the handle of a session that was just opened. The handshake used request id 0.
    pub fn new(handshake: HandshakeResult, now: Timestamp) -> Self {
        Self {
            log_level: UpstreamLogLevel::new(&handshake.capabilities),
            handshake,
            calls: InFlightCalls::default(),
            next_id: AtomicU64::new(1),
            last_used: AtomicU64::new(now.0),
            rejections: AtomicUsize::new(0),
        }
    }

    /// Returns a request id not used before on this session. The id also serves as a progress token.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Acquires a permit to respond to a server request that belongs to no call. Returns `None` while
    /// [`MAX_CONCURRENT_REJECTIONS`] permits are held.
    pub fn acquire_rejection_permit(self: &Arc<Self>) -> Option<RejectionPermit> {
        let count = &self.rejections;
        let more = |under_way| (under_way < MAX_CONCURRENT_REJECTIONS).then_some(under_way + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| RejectionPermit(Arc::clone(self)))
    }

    /// Postpones the idle timeout.
    pub fn touch(&self, now: Timestamp) {
        // Concurrent callers differ by milliseconds, so a lost update is acceptable.
        if self.last_used.load(Ordering::Relaxed) < now.0 {
            self.last_used.store(now.0, Ordering::Relaxed);
        }
    }

    /// Time of the last use.
    pub fn last_used(&self) -> Timestamp {
        Timestamp(self.last_used.load(Ordering::Relaxed))
    }
}

impl Drop for RejectionPermit {
    fn drop(&mut self) {
        self.0.rejections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for UpstreamSessionKey {
    fn eq(&self, other: &Self) -> bool {
        self.server.digest == other.server.digest
            && self.capabilities == other.capabilities
            && self.server.name == other.server.name
            && self.client_session == other.client_session
            && self.principal == other.principal
    }
}

impl Eq for UpstreamSessionKey {}

impl std::hash::Hash for UpstreamSessionKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.server.digest.hash(state);
        self.capabilities.hash(state);
        self.client_session.hash(state);
        self.principal.hash(state);
    }
}

impl RevocationList for BTreeSet<AuthnId> {
    fn is_revoked(&self, authn: &AuthnId) -> bool {
        self.contains(authn)
    }
}

impl fmt::Debug for HeaderCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

impl PartialEq for TransportState {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TransportState {}

impl fmt::Debug for TransportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl fmt::Debug for RejectionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusing")
    }
}

impl fmt::Debug for UpstreamSessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The session id is a secret shared with the server.
        write!(f, "LinkFacts({})", self.handshake.version)
    }
}

#[cfg(test)]
mod tests;
