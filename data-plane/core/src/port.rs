//! What the rooms of the data plane need of one another. They meet here and are wired together in `data-plane/src`.

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

/// A future that a trait object can return.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The tokens that were revoked after the view was built. Kept by `sync`.
pub trait Revoked: Send + Sync {
    /// Whether this token was revoked.
    fn is_revoked(&self, hash: &TokenHash) -> bool;
}

/// What to present to a server. Kept by `sync`, taken by `upstream`.
pub trait Credentials: Send + Sync {
    /// The value, if it is at hand: no waiting, no lock held.
    fn held(&self, org: &Slug, credential: &CredentialRef) -> Option<Arc<HeaderCredential>>;

    /// The value, fetched if need be.
    fn resolve(
        &self,
        org: &Slug,
        credential: &CredentialRef,
    ) -> Pending<'_, Result<Arc<HeaderCredential>, UpstreamFailure>>;
}

/// Our sessions with legacy servers. Kept by `session`, taken by whoever calls.
pub trait Links: Send + Sync {
    /// The facts of a link that stands: no waiting, no mailbox.
    fn standing(&self, key: &LinkKey) -> Option<Arc<LinkFacts>>;

    /// The facts of the link, opening it if need be; many callers at once open it once.
    fn open(&self, key: &LinkKey) -> Pending<'_, Result<Arc<LinkFacts>, UpstreamFailure>>;

    /// The server no longer knows the session of `lost`: opens another one, once for all who noticed.
    fn reopen(
        &self,
        key: &LinkKey,
        lost: &Arc<LinkFacts>,
    ) -> Pending<'_, Result<Arc<LinkFacts>, UpstreamFailure>>;
}

/// The network part of a link. Done by `upstream`, asked by `session`.
pub trait LinkNetwork: Send + Sync + 'static {
    /// `initialize`, then `notifications/initialized`.
    fn initialize(&self, key: &LinkKey) -> Pending<'static, Result<Opened, UpstreamFailure>>;

    /// DELETE of the session; failures are nobody's concern.
    fn terminate(&self, key: &LinkKey, session: &str) -> Pending<'static, ()>;
}

/// The network part of feeds of changes. Done by `upstream`, asked by `session`.
pub trait FeedNetwork: Send + Sync + 'static {
    /// Opens a feed of these, as the server calls them.
    fn open(
        &self,
        key: &LinkKey,
        topics: Topics,
    ) -> Pending<'static, Result<Box<dyn Feed>, UpstreamFailure>>;
}

/// A feed that stands.
pub trait Feed: Send + 'static {
    /// What the server agreed to tell of.
    fn agreed(&self) -> &Topics;

    /// The next thing that is told; none when the feed has ended. May be let go of at any time.
    fn next(&mut self) -> Pending<'_, Option<Told>>;

    /// The same feed for these: nothing that was told meanwhile is lost.
    fn change(
        self: Box<Self>,
        topics: Topics,
    ) -> Pending<'static, Result<Box<dyn Feed>, UpstreamFailure>>;

    /// Tells the server that nobody is interested any more; failures are nobody's concern.
    fn close(self: Box<Self>) -> Pending<'static, ()>;
}

/// A header that is presented to a server.
#[derive(Clone)]
pub struct HeaderCredential {
    /// Lower-case header name.
    pub name: Box<str>,
    /// Its value.
    pub value: Zeroizing<Vec<u8>>,
}

/// Which link: callers with equal keys share one session with the server.
#[derive(Debug, Clone)]
pub struct LinkKey {
    /// The server, as configured: another URL or credential makes another link.
    pub server: Arc<ServerView>,
    /// On whose behalf.
    pub principal: Arc<Principal>,
    /// For which conversation alone, where the server keeps them apart.
    pub conversation: Option<[u8; RANDOM]>,
    /// What is declared to the server.
    pub capabilities: ClientCapabilities,
}

/// What `initialize` brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// `Mcp-Session-Id`, if the server gave one.
    pub session: Option<Box<str>>,
    /// The version negotiated.
    pub version: Box<str>,
    /// The server's capabilities, JSON.
    pub capabilities: Box<str>,
    /// What the network part goes on with, where a session is more than its id.
    pub kept: Option<Kept>,
}

/// What the network part keeps of a link, and nobody else looks at.
#[derive(Clone)]
pub struct Kept(pub Arc<dyn Any + Send + Sync>);

/// A link that stands. Immutable, but for its counters.
pub struct LinkFacts {
    /// What `initialize` brought.
    pub opened: Opened,
    /// The calls in flight on it that can be asked something.
    pub callers: Callers,
    /// The log messages that the server was asked for.
    pub levels: Levels,
    next_id: AtomicU64,
    used: AtomicU64,
    refusing: AtomicUsize,
}

/// Answers to what a server asks of nobody that are under way on one link.
pub const REFUSALS: usize = 8;

/// One of them, as long as it is kept.
pub struct Refusing(Arc<LinkFacts>);

impl LinkKey {
    /// As the server's sharing policy says. `conversation` is the caller's legacy session, if they have one: callers of the
    /// modern era have none, and are kept apart by principal.
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
    /// Of a link just opened. The handshake used id 0.
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

    /// An id that was not used on this link before; also good as a progress token.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Leave to answer what its server asks of nobody; none while [`REFUSALS`] of such are under way.
    pub fn refuse(self: &Arc<Self>) -> Option<Refusing> {
        let count = &self.refusing;
        let more = |under_way| (under_way < REFUSALS).then_some(under_way + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Refusing(Arc::clone(self)))
    }

    /// Puts off its end.
    pub fn touch(&self, now: Timestamp) {
        // Concurrent callers differ by milliseconds; whoever wins is good enough.
        if self.used.load(Ordering::Relaxed) < now.0 {
            self.used.store(now.0, Ordering::Relaxed);
        }
    }

    /// When it was used last.
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
        // The session id is a secret towards the server.
        write!(f, "LinkFacts({})", self.opened.version)
    }
}

#[cfg(test)]
mod tests;
