//! Ports: traits through which the core uses external systems. Adapters are in sibling crates; the `control-plane`
//! crate wires them.

mod published_changes;
mod secrets;
mod space;
mod state;

use std::{future::Future, pin::Pin, sync::Arc};

use toolgate_model::ServerDefinitions;

use crate::store_history::StoreRefusal;

pub use secrets::{
    CertificateAuthority, CursorSigner, EncryptionContext, IssueError, IssuedCertificate,
    MintedSecret, PlaintextSecret, SealError, SealedCredentialField, SecretPurpose, SecretSealer,
    TokenIssuer, sealed_credential_fields,
};
pub use space::{SpaceLevel, StoreSpace};
pub use state::{
    CommandWriter, CommitOutcome, PublicationEnded, PublishedState, StateReader, StateWatcher,
    SubmitError,
};

/// Boxed future, which keeps the port traits object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Store revision. Grows with every commit; all writes of one commit have the same revision.
pub type Revision = u64;

/// Linearizable key-value store with revisions. Keys are ASCII paths; values have at most [`MAX_VALUE_BYTES`]
/// bytes. The conformance suite in `control-plane/store/src/conformance` defines the guarantees of every
/// implementation.
pub trait Store: Send + Sync + 'static {
    /// Lists at most `limit` entries under `prefix` with a key greater than `after`, in key order, at revision `at`
    /// or at the latest revision. A page may be shorter than `limit`. Fails with [`StoreError::Compacted`] at a
    /// compacted revision.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage, StoreError>>;

    /// Lists keys like [`list`](Self::list), without their values.
    fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StoreKeyPage, StoreError>>;

    /// Commits all of `txn` or nothing. If a compare fails, nothing is written and the result is
    /// [`TxnOutcome::CompareFailed`]. A transaction that changes nothing creates no revision.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>>;

    /// Watches changes under `prefix` from revision `from` (inclusive). Events arrive in order, and the events of
    /// one commit arrive together. The watcher fails when it can no longer guarantee this; it does not skip events
    /// silently.
    fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> BoxFuture<'_, Result<Box<dyn StoreWatcher>, StoreError>>;

    /// Grants a lease that expires `ttl_seconds` after its last [`keep_alive`](Self::keep_alive). Expiry deletes
    /// the entries written under the lease.
    fn grant_lease(&self, ttl_seconds: u64) -> BoxFuture<'_, Result<Lease, StoreError>>;

    /// Renews a lease. Fails with [`StoreError::LeaseNotFound`] if it has expired.
    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Revokes a lease and deletes the entries written under it.
    fn revoke_lease(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Compacts the history up to and including `revision`.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Measures the room of the store.
    fn space(&self) -> BoxFuture<'_, Result<StoreSpace, StoreError>>;

    /// Sets a reserve aside, if there is none, for [`reclaim`](Self::reclaim) to give up.
    fn set_reserve_aside(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes room in a full store without deleting an object: compacts the whole history, returns free pages, and lets the
    /// store accept writes again; gives up the reserve first, if asked to. Fails with the reason for which no room could
    /// be made.
    fn reclaim(&self, reserve: bool) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Running watch.
pub trait StoreWatcher: Send {
    /// Returns the next batch. After an error the watcher is unusable: list again on [`StoreError::Compacted`],
    /// else watch again from the last revision seen + 1.
    fn next(&mut self) -> BoxFuture<'_, Result<WatchBatch, StoreError>>;
}

/// Maximum size of a value in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Maximum number of compares, and of writes, in one transaction.
pub const MAX_TXN_OPS: usize = 100;

/// Maximum length of a key in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// Page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePage {
    /// Entries in key order.
    pub entries: Vec<KeyValue>,
    /// Revision of the listing. Pass it as `at` to read the next page.
    pub revision: Revision,
    /// True if entries follow after the last one.
    pub more: bool,
}

/// Page of a listing of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKeyPage {
    /// Keys in order.
    pub keys: Vec<KeyRevision>,
    /// Revision of the listing. Pass it as `at` to read the next page.
    pub revision: Revision,
    /// True if keys follow after the last one.
    pub more: bool,
}

/// Key with the revision of its last write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRevision {
    /// Key.
    pub key: String,
    /// Revision of the last write.
    pub mod_revision: Revision,
}

/// Key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// Key.
    pub key: String,
    /// Value.
    pub value: Vec<u8>,
    /// Revision of the last write.
    pub mod_revision: Revision,
}

/// Changes of one or more complete commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// Events in revision order.
    pub events: Vec<StoreEvent>,
    /// All events up to this revision have been delivered. A batch may have no events.
    pub revision: Revision,
}

/// Change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted explicitly or by the end of its lease.
    Delete {
        /// Key.
        key: String,
        /// Revision of the deletion.
        revision: Revision,
    },
}

/// Atomic compare-and-write transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// Preconditions, all of which must hold.
    pub compares: Vec<TxnCompare>,
    /// Writes, each key at most once.
    pub writes: Vec<WriteOp>,
}

/// Precondition on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnCompare {
    /// The key does not exist.
    Absent(String),
    /// The key was last written at this revision.
    ModRevision(String, Revision),
    /// The key exists, and was last written at this revision or later.
    ModRevisionAtLeast(String, Revision),
    /// No key that begins with the prefix was written after the revision; a deletion is no write. A store reads all keys
    /// with the prefix, which is for prefixes of few keys.
    NotModifiedAfter {
        /// Prefix of the keys.
        prefix: String,
        /// Latest revision at which any of them may have been written.
        revision: Revision,
    },
}

/// Write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Sets a key.
    Put {
        /// Key.
        key: String,
        /// Value.
        value: Vec<u8>,
        /// Lease that the key is attached to, if any.
        lease: Option<Lease>,
    },
    /// Deletes a key. Deleting an absent key is not an error.
    Delete(String),
}

/// Result of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Committed at this revision.
    Committed(Revision),
    /// A compare failed; nothing was written.
    CompareFailed,
}

/// Lease id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

/// Error of a store operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Unreachable, without quorum, or timed out. A retry may succeed. It is unknown if a commit took effect.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// History up to this revision has been compacted: list again.
    #[error("history up to revision {0} has been compacted")]
    Compacted(Revision),
    /// The lease does not exist or has expired.
    #[error("the lease has expired")]
    LeaseNotFound,
    /// The request can never succeed (value too large, malformed key).
    #[error("the store refuses this request: {0}")]
    InvalidRequest(String),
    /// The store is full, or what is left is kept for more important writes. The text names the store and the next step.
    /// Nothing was written. Deletions and revocations are still tried.
    #[error("{0}")]
    NoSpace(String),
    /// This control plane does not follow the store, which was lost or went back. Nothing was written.
    #[error("the store is not followed: {0}")]
    NotFollowed(Arc<StoreRefusal>),
}

/// Probes servers on demand. Scheduled probes follow the desired state and do not use this port.
pub trait ServerProber: Send + Sync + 'static {
    /// Probes the server, stores the result and returns it.
    fn probe_now(
        &self,
        server: toolgate_model::ObjectName,
    ) -> BoxFuture<'_, Result<ServerDefinitions, ProbeError>>;
}

/// Error of a probe that could not run. A probe that ran and failed is a
/// [`ServerDefinitions`] with a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The server does not exist.
    #[error("no such server")]
    NoSuchServer,
    /// The probe did not complete in time.
    #[error("the prober is busy; try again in a few seconds")]
    Busy,
}
