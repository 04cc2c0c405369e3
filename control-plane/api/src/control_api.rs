//! Interface of the API to the rest of the control plane, as one trait. The write path implements it; tests use an
//! implementation in memory. Decisions are made in the core: the API reads the published state and submits commands.

use std::{fmt, sync::Arc};

use tokio::sync::watch;
use toolgate_control_core::{
    Change, Command, CommandContext, CompileOutput, Rejection, Revision, StoreState,
    port::{BoxFuture, SecretSealer, ServerProber, StoreError},
};
use toolgate_model::{Slug, Timestamp, TokenHash};
use toolgate_wire::{PlaintextValue, keys::ProxyKeyring};

/// Operations that the API needs from the rest of the control plane.
pub trait ControlApi: Send + Sync + 'static {
    /// Returns a receiver of the published state and of every later one; only the latest is kept. State and compiled
    /// snapshot change together. The channel closes when the control plane ends.
    fn published(&self) -> watch::Receiver<Arc<PublishedState>>;

    /// Decides a command and commits the change; decides again if another commit came first. Returns when the store has
    /// answered. The change is published soon after, at [`CommitOutcome::revision`] or later.
    fn submit(
        &self,
        command: Command,
        context: CommandContext,
    ) -> BoxFuture<'_, Result<CommitOutcome, SubmitError>>;

    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns a keyed hash of `secret`. Every purpose has its own key.
    fn hash(&self, purpose: SecretPurpose, secret: &[u8]) -> TokenHash;

    /// Creates a secret, with `hash(purpose, secret)`.
    fn mint_secret(&self, purpose: SecretPurpose) -> MintedSecret;

    /// Returns the service that seals and opens values.
    fn seal(&self) -> &dyn SecretSealer;

    /// Returns the service that probes servers.
    fn prober(&self) -> &dyn ServerProber;

    /// Returns the keys that all proxies share.
    fn keyring(&self) -> ProxyKeyring;

    /// Issues a certificate for the public key in the request of this proxy. Names and extensions in the request are
    /// ignored.
    fn issue(&self, proxy: &Slug, csr_der: &[u8]) -> Result<IssuedCertificate, IssueError>;

    /// Returns the proxy that a client certificate (DER, with a verified chain) names; `None` if it names no proxy.
    fn proxy_of_certificate(&self, certificate_der: &[u8]) -> Option<Slug>;

    /// Returns the certificate of the authority that issued the control plane's own certificate, in PEM.
    fn authority_pem(&self) -> String;
}

/// State of the store and the snapshot compiled from it.
#[derive(Debug, Clone, Default)]
pub struct PublishedState {
    /// All objects in the store.
    pub state: Arc<StoreState>,
    /// Result of compiling `state`.
    pub compiled: Arc<CompileOutput>,
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Store revision after the command: that of its own commit, or, for a replayed request, that of the state it was
    /// decided on.
    pub revision: Revision,
    /// Writes and deletes of the command.
    pub change: Change,
}

/// Error of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The core rejected the command.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed. After [`StoreError::Unavailable`] the change may have been written all the same; retrying with
    /// the same `request_id` is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other writers kept committing first.
    #[error("too many others write at the same time; try again in a moment")]
    Contended,
}

/// Purpose of a secret or of a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretPurpose {
    /// Bearer token, `archestra_…`. The key is the keyring's `token_key`.
    Bearer,
    /// Join token.
    Join,
    /// Signature of values that callers hand back, such as page tokens. Not a secret.
    Cursor,
}

/// Newly created secret.
pub struct MintedSecret {
    /// The secret, shown once. ASCII.
    pub secret: PlaintextValue,
    /// Keyed hash of the secret; this is stored.
    pub hash: TokenHash,
    /// First characters of the secret, for recognition.
    pub hint: String,
}

/// Certificate issued to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Certificate chain, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Certificate of the authority, DER.
    pub authority: Vec<u8>,
    /// Expiry of the leaf certificate.
    pub not_after: Timestamp,
}

/// Error of a certificate request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The bytes are not a certificate request, or its signature is invalid.
    #[error("csr_der: {0}; send a PKCS#10 request in DER")]
    InvalidRequest(String),
    /// The authority is unavailable.
    #[error("certificates cannot be issued now: {0}")]
    Unavailable(String),
}

impl fmt::Debug for MintedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minted({}…)", self.hint)
    }
}
