//! Interfaces between the crates of the data plane. The implementations are connected in `data-plane/src`.

use std::{collections::BTreeSet, fmt, future::Future, pin::Pin, sync::Arc};

use toolgate_model::{
    CredentialHosts, CredentialScope, FieldPlace, ObjectName, Principal, SessionSharing,
    SignatureAlgorithm, Timestamp, VerificationKey, snapshot::CredentialRef,
};
use zeroize::Zeroizing;

use crate::{
    AuthnId, ServerView,
    endpoint_choice::EndpointStatus,
    notify::topic_subscriptions::{ChangeTopics, TopicChange},
    refusal::UpstreamFailure,
    session::session_id::{ClientCapabilities, RANDOM_LEN},
};

/// Boxed future returned by object-safe trait methods.
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Proofs revoked after the view was built. Implemented by `sync`.
pub trait RevocationList: Send + Sync {
    /// Returns `true` if the proof with this id was revoked.
    fn is_revoked(&self, authn: &AuthnId) -> bool;
}

/// Verification of signatures. Implemented in `data-plane/src`, because cryptography is not pure.
pub trait SignatureVerifier: Send + Sync {
    /// Returns `true` if `signature`, in base64url, is that of the key over `signed` with this algorithm.
    fn is_valid(
        &self,
        key: &VerificationKey,
        algorithm: SignatureAlgorithm,
        signed: &str,
        signature: &str,
    ) -> bool;
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

/// Established session with a legacy server. Implemented by `upstream`; its owner needs the time of its last use only.
pub trait UpstreamSession: Send + Sync + 'static {
    /// Time of the last use.
    fn last_used(&self) -> Timestamp;

    /// Postpones the idle timeout.
    fn touch(&self, now: Timestamp);
}

/// Sessions of type `S` with legacy servers. Implemented by `session`, used by callers of `upstream`.
pub trait UpstreamSessionProvider<S>: Send + Sync {
    /// Returns the session if it is established. Does not wait and does not send a message to an actor.
    fn established(&self, key: &UpstreamSessionKey) -> Option<Arc<S>>;

    /// Returns the session, opening it if necessary. Concurrent callers share one handshake.
    fn open(&self, key: &UpstreamSessionKey) -> BoxedFuture<'_, Result<Arc<S>, UpstreamFailure>>;

    /// Replaces the session `lost`, which the server no longer knows. It is replaced once for all callers that
    /// noticed.
    fn reopen(
        &self,
        key: &UpstreamSessionKey,
        lost: &Arc<S>,
    ) -> BoxedFuture<'_, Result<Arc<S>, UpstreamFailure>>;
}

/// Transport of upstream sessions. Implemented by `upstream`, used by `session`.
pub trait UpstreamSessionTransport: Send + Sync + 'static {
    /// Session as the transport keeps it.
    type Session: UpstreamSession;

    /// Sends `initialize`, then `notifications/initialized`.
    fn initialize(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<Arc<Self::Session>, UpstreamFailure>>;

    /// Sends DELETE for the session if the server gave it an id. Failures are ignored.
    fn terminate(
        &self,
        key: &UpstreamSessionKey,
        session: &Self::Session,
    ) -> BoxedFuture<'static, ()>;
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
    /// Several headers and query parameters with fixed values.
    Fields(FieldsCredential),
}

/// Credential sent to a server in several headers and query parameters.
#[derive(Debug, Clone)]
pub struct FieldsCredential {
    /// Headers, then query parameters.
    pub fields: Vec<CredentialField>,
    /// Origins that the values may be sent to.
    pub hosts: CredentialHosts,
}

/// Header or query parameter of a credential.
#[derive(Clone)]
pub struct CredentialField {
    /// Part of the request.
    pub place: FieldPlace,
    /// Header name in lower case, or name of the query parameter before percent-encoding.
    pub name: Box<str>,
    /// Value before percent-encoding.
    pub value: Zeroizing<Vec<u8>>,
}

impl UpstreamCredential {
    /// Returns the credential of these fields.
    pub fn of_fields(mut fields: Vec<CredentialField>, hosts: CredentialHosts) -> Self {
        if let [only] = &mut *fields
            && only.place == FieldPlace::Header
        {
            let name = std::mem::take(&mut only.name);
            let value = std::mem::take(&mut only.value);
            return Self::Header(HeaderCredential { name, value, hosts });
        }
        Self::Fields(FieldsCredential { fields, hosts })
    }

    /// Returns the origins that the credential may be sent to.
    pub fn hosts(&self) -> &CredentialHosts {
        match self {
            Self::Header(header) => &header.hosts,
            Self::Fields(fields) => &fields.hosts,
        }
    }

    /// Returns part, name and value of each header and query parameter.
    pub fn fields(&self) -> Vec<(FieldPlace, &str, &[u8])> {
        match self {
            Self::Header(it) => vec![(FieldPlace::Header, &*it.name, it.value.as_slice())],
            Self::Fields(it) => {
                let fields = it.fields.iter();
                fields
                    .map(|field| (field.place, &*field.name, field.value.as_slice()))
                    .collect()
            }
        }
    }
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
    /// Traffic that the session carries.
    pub purpose: UpstreamSessionPurpose,
}

/// Traffic of an upstream session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamSessionPurpose {
    /// Calls.
    Calls,
    /// The stream of a change feed. Legacy servers allow one stream per session, so it is apart from the calls.
    ChangeFeed {
        /// Legacy client session that the feed is reserved for, if the server's policy separates sessions.
        client_session: Option<[u8; RANDOM_LEN]>,
    },
}

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
            purpose: UpstreamSessionPurpose::Calls,
        }
    }

    /// Returns the key of the session that carries a change feed of the same principal, server and client session.
    #[must_use]
    pub fn for_change_feed(mut self) -> Self {
        let client_session = self.client_session.take();
        self.purpose = UpstreamSessionPurpose::ChangeFeed { client_session };
        self
    }
}

impl PartialEq for UpstreamSessionKey {
    fn eq(&self, other: &Self) -> bool {
        self.server.digest == other.server.digest
            && self.capabilities == other.capabilities
            && self.server.name == other.server.name
            && self.client_session == other.client_session
            && self.purpose == other.purpose
            && self.principal == other.principal
    }
}

impl Eq for UpstreamSessionKey {}

impl std::hash::Hash for UpstreamSessionKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.server.digest.hash(state);
        self.capabilities.hash(state);
        self.client_session.hash(state);
        self.purpose.hash(state);
        self.principal.hash(state);
    }
}

impl RevocationList for BTreeSet<AuthnId> {
    fn is_revoked(&self, authn: &AuthnId) -> bool {
        self.contains(authn)
    }
}

impl fmt::Debug for CredentialField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

impl fmt::Debug for HeaderCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

#[cfg(test)]
mod tests;
