//! What the edge needs from the rest of the control plane, as one trait. The spine implements it; tests implement it
//! in memory. Decisions stay in the core: the edge reads the published state, and hands commands over.

use std::{fmt, sync::Arc};

use tokio::sync::watch;
use toolgate_control_core::{
    Change, Command, Compiled, Context, Rejection, Revision, State,
    port::{BoxFuture, Prober, Seal, StoreError},
};
use toolgate_model::{Slug, Timestamp, TokenHash};
use toolgate_wire::{OpenValue, keys::Keyring};

/// The rest of the control plane.
pub trait Desk: Send + Sync + 'static {
    /// What is published, and every later publication; the latest wins. State and what it compiles to change
    /// together. Closed when the control plane ends.
    fn published(&self) -> watch::Receiver<Arc<Published>>;

    /// Decides and commits, deciding again when somebody else's commit came first. It answers when the store has
    /// answered; the change is published soon after, at or after [`Outcome::revision`].
    fn submit(
        &self,
        command: Command,
        context: Context,
    ) -> BoxFuture<'_, Result<Outcome, SubmitError>>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Keyed hash of `secret`, with a key of its own for each purpose.
    fn hash(&self, purpose: Purpose, secret: &[u8]) -> TokenHash;

    /// A fresh secret, with `hash(purpose, secret)`.
    fn mint(&self, purpose: Purpose) -> Minted;

    /// Seals and opens values.
    fn seal(&self) -> &dyn Seal;

    /// Probes servers.
    fn prober(&self) -> &dyn Prober;

    /// Keys that all proxies share.
    fn keyring(&self) -> Keyring;

    /// A certificate for the public key in the request of this proxy. The request's own wishes are ignored.
    fn issue(&self, proxy: &Slug, csr_der: &[u8]) -> Result<IssuedCertificate, IssueError>;

    /// The proxy that a client certificate (DER, its chain already verified) names; none if it names no proxy.
    fn peer(&self, certificate_der: &[u8]) -> Option<Slug>;

    /// The certificate of the authority that the control plane's own certificate comes from, PEM.
    fn authority_pem(&self) -> String;
}

/// One publication.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Everything in the store.
    pub state: Arc<State>,
    /// What it compiles to.
    pub compiled: Arc<Compiled>,
}

/// What a command has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The store's revision after it; that of its own commit, or, for a replayed request, that of the state it was
    /// decided on.
    pub revision: Revision,
    /// What was written.
    pub change: Change,
}

/// Why a command has come to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store did not take it. On [`StoreError::Unavailable`] it may have been written all the same; the same
    /// `request_id` makes trying again harmless.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others kept committing first.
    #[error("too many others write at the same time; try again in a moment")]
    Contended,
}

/// What a secret, or its hash, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A bearer token, `archestra_…`; the key is the keyring's `token_key`.
    Bearer,
    /// A join token.
    Join,
    /// No secret at all: authenticates what callers hand back to us, such as page tokens.
    Cursor,
}

/// A fresh secret.
pub struct Minted {
    /// The secret, to be shown once. ASCII.
    pub secret: OpenValue,
    /// Its keyed hash, to be kept.
    pub hash: TokenHash,
    /// Its first characters, to recognise it by.
    pub hint: String,
}

/// A proxy's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// The authority's, DER.
    pub authority: Vec<u8>,
    /// When the leaf ends.
    pub not_after: Timestamp,
}

/// Why no certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not a certificate request, or its signature is wrong.
    #[error("csr_der: {0}; send a PKCS#10 request in DER")]
    InvalidRequest(String),
    /// The authority is not available.
    #[error("certificates cannot be issued now: {0}")]
    Unavailable(String),
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minted({}…)", self.hint)
    }
}
