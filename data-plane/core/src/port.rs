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
    Principal, Sharing, Slug, Subject, Timestamp, TokenHash, snapshot::CredentialRef,
};
use zeroize::Zeroizing;

use crate::{
    ServerView,
    callers::Callers,
    levels::Levels,
    refusal::UpstreamFailure,
    session_id::{ClientCapabilities, RANDOM},
    watch::{Told, Topics},
};

/// Boxed future returned by object-safe trait methods.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tokens revoked after the view was built. Implemented by `sync`.
pub trait Revoked: Send + Sync {
    /// Returns `true` if the token with this hash was revoked.
    fn is_revoked(&self, hash: &TokenHash) -> bool;
}

/// Source of credentials for servers. Implemented by `sync`, used by `upstream`.
pub trait Credentials: Send + Sync {
    /// Returns the credential if it is cached. Does not wait and does not hold a lock.
    fn held(&self, org: &Slug, credential: &CredentialRef) -> Option<Arc<HeaderCredential>>;

    /// Returns the credential, fetching it if necessary.
    fn resolve(
        &self,
        org: &Slug,
        credential: &CredentialRef,
    ) -> Pending<'_, Result<Arc<HeaderCredential>, UpstreamFailure>>;
}

/// Sessions with legacy servers. Implemented by `session`, used by callers of `upstream`.
pub trait Links: Send + Sync {
    /// Returns the session if it is established. Does not wait and does not send a message to an actor.
    fn standing(&self, key: &LinkKey) -> Option<Arc<LinkFacts>>;

    /// Returns the session, opening it if necessary. Concurrent callers share one handshake.
    fn open(&self, key: &LinkKey) -> Pending<'_, Result<Arc<LinkFacts>, UpstreamFailure>>;

    /// Replaces the session `lost`, which the server no longer knows. It is replaced once for all callers that
    /// noticed.
    fn reopen(
        &self,
        key: &LinkKey,
        lost: &Arc<LinkFacts>,
    ) -> Pending<'_, Result<Arc<LinkFacts>, UpstreamFailure>>;
}

/// Transport of upstream sessions. Implemented by `upstream`, used by `session`.
pub trait LinkNetwork: Send + Sync + 'static {
    /// Sends `initialize`, then `notifications/initialized`.
    fn initialize(&self, key: &LinkKey) -> Pending<'static, Result<Opened, UpstreamFailure>>;

    /// Sends DELETE for the session. Failures are ignored.
    fn terminate(&self, key: &LinkKey, session: &str) -> Pending<'static, ()>;
}

/// Transport of change feeds. Implemented by `upstream`, used by `session`.
pub trait FeedNetwork: Send + Sync + 'static {
    /// Opens a feed of these topics, under the server's own names.
    fn open(
        &self,
        key: &LinkKey,
        topics: Topics,
    ) -> Pending<'static, Result<Box<dyn Feed>, UpstreamFailure>>;
}

/// Open stream of resource updates and task status from one server.
pub trait Feed: Send + 'static {
    /// Topics that the server agreed to.
    fn agreed(&self) -> &Topics;

    /// Returns the next change, or `None` when the feed has ended. Cancel safe.
    fn next(&mut self) -> Pending<'_, Option<Told>>;

    /// Changes the topics of the feed. No change that is received meanwhile is lost.
    fn change(
        self: Box<Self>,
        topics: Topics,
    ) -> Pending<'static, Result<Box<dyn Feed>, UpstreamFailure>>;

    /// Closes the feed and tells the server. Failures are ignored.
    fn close(self: Box<Self>) -> Pending<'static, ()>;
}

/// Credential sent to a server in one header.
#[derive(Clone)]
pub struct HeaderCredential {
    /// Header name in lower case.
    pub name: Box<str>,
    /// Header value.
    pub value: Zeroizing<Vec<u8>>,
}

/// Identity of an upstream session. Callers with equal keys share one session with the server.
#[derive(Debug, Clone)]
pub struct LinkKey {
    /// Server as configured. Another URL or credential makes another session.
    pub server: Arc<ServerView>,
    /// Principal on whose behalf the session is opened.
    pub principal: Arc<Principal>,
    /// Legacy client session that this upstream session is reserved for, if the server's policy separates sessions.
    pub conversation: Option<[u8; RANDOM]>,
    /// Client capabilities declared to the server.
    pub capabilities: ClientCapabilities,
}

/// Result of the `initialize` handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// `Mcp-Session-Id`, if the server assigned one.
    pub session: Option<Box<str>>,
    /// Negotiated protocol version.
    pub version: Box<str>,
    /// The server's capabilities object, JSON.
    pub capabilities: Box<str>,
    /// State of the transport, if a session consists of more than its id.
    pub kept: Option<Kept>,
}

/// Opaque state that the transport keeps with a session.
#[derive(Clone)]
pub struct Kept(pub Arc<dyn Any + Send + Sync>);

/// Established upstream session. Immutable except for its counters.
pub struct LinkFacts {
    /// Result of the handshake.
    pub opened: Opened,
    /// Calls in flight that can receive server requests.
    pub callers: Callers,
    /// Log level set on the server.
    pub levels: Levels,
    next_id: AtomicU64,
    used: AtomicU64,
    refusing: AtomicUsize,
}

/// Maximum number of concurrent responses to server requests that belong to no call, per session.
pub const REFUSALS: usize = 8;

/// Permit for one such response; released on drop.
pub struct Refusing(Arc<LinkFacts>);

impl LinkKey {
    /// Creates a key by the server's sharing policy. `conversation` is the caller's legacy session, if any. Modern
    /// callers have none and are separated by principal.
    pub fn of(
        server: &Arc<ServerView>,
        principal: &Arc<Principal>,
        conversation: Option<[u8; RANDOM]>,
        capabilities: ClientCapabilities,
    ) -> Self {
        let (principal, conversation) = match server.sharing {
            Sharing::PerPrincipal => (Arc::clone(principal), None),
            Sharing::PerSession => (Arc::clone(principal), conversation),
            Sharing::Shared => {
                let org = server.name.org.clone();
                let subject = Subject::Organization;
                (Arc::new(Principal { org, subject }), None)
            }
        };
        Self {
            server: Arc::clone(server),
            principal,
            conversation,
            capabilities,
        }
    }
}

impl LinkFacts {
    /// Creates the handle of a session that was just opened. The handshake used request id 0.
    pub fn new(opened: Opened, now: Timestamp) -> Self {
        Self {
            levels: Levels::of(&opened.capabilities),
            opened,
            callers: Callers::default(),
            next_id: AtomicU64::new(1),
            used: AtomicU64::new(now.0),
            refusing: AtomicUsize::new(0),
        }
    }

    /// Returns a request id not used before on this session. The id also serves as a progress token.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Acquires a permit to respond to a server request that belongs to no call. Returns `None` while
    /// [`MAX_CONCURRENT_REJECTIONS`] permits are held.
    pub fn refuse(self: &Arc<Self>) -> Option<Refusing> {
        let count = &self.refusing;
        let more = |under_way| (under_way < REFUSALS).then_some(under_way + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Refusing(Arc::clone(self)))
    }

    /// Postpones the idle timeout.
    pub fn touch(&self, now: Timestamp) {
        // Concurrent callers differ by milliseconds, so a lost update is acceptable.
        if self.used.load(Ordering::Relaxed) < now.0 {
            self.used.store(now.0, Ordering::Relaxed);
        }
    }

    /// Time of the last use.
    pub fn used(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Relaxed))
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refusing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for LinkKey {
    fn eq(&self, other: &Self) -> bool {
        self.server.digest == other.server.digest
            && self.capabilities == other.capabilities
            && self.server.name == other.server.name
            && self.conversation == other.conversation
            && self.principal == other.principal
    }
}

impl Eq for LinkKey {}

impl std::hash::Hash for LinkKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.server.digest.hash(state);
        self.capabilities.hash(state);
        self.conversation.hash(state);
        self.principal.hash(state);
    }
}

impl Revoked for BTreeSet<TokenHash> {
    fn is_revoked(&self, hash: &TokenHash) -> bool {
        self.contains(hash)
    }
}

impl fmt::Debug for HeaderCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl fmt::Debug for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusing")
    }
}

impl fmt::Debug for LinkFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The session id is a secret shared with the server.
        write!(f, "LinkFacts({})", self.opened.version)
    }
}

#[cfg(test)]
mod tests;
