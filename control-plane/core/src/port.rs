//! What the core needs from the world, as traits. Adapters live in sibling crates and are wired in `control-plane`.

use std::{future::Future, pin::Pin};

use toolgate_model::Catalogue;

/// A boxed future, so that ports are object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store's own revision. Grows with every commit; equal for everything one commit wrote.
pub type Revision = u64;

/// A linearizable key-value store with revisions. Keys are ASCII paths; values are at most
/// [`MAX_VALUE`] bytes. What every implementation must guarantee is spelled out in
/// `control-plane/store/src/conformance`, one suite for all of them.
pub trait Store: Send + Sync + 'static {
    /// All entries under `prefix` whose key is greater than `after`, in key order, at most `limit` of them, as they
    /// stood at revision `at` (now, if none). A page may be shorter than asked for. Reading at a compacted revision
    /// is [`StoreError::Compacted`].
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// All of `txn`, or nothing: if any guard does not hold, nothing is written and the answer is
    /// [`Commit::GuardFailed`]. A transaction that changes nothing makes no revision.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Commit, StoreError>>;

    /// Every change under `prefix` from revision `from` on (inclusive), in order, each commit's changes together.
    /// The watcher fails rather than stay silent when it can no longer promise that.
    fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> BoxFuture<'_, Result<Box<dyn Watcher>, StoreError>>;

    /// A lease that expires `ttl_seconds` after its last [`keep_alive`](Self::keep_alive); entries written under it
    /// go with it.
    fn grant_lease(&self, ttl_seconds: u64) -> BoxFuture<'_, Result<Lease, StoreError>>;

    /// Renews a lease; [`StoreError::LeaseLost`] if it has expired.
    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a lease and deletes what was written under it.
    fn revoke_lease(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets history up to and including `revision`.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A running watch.
pub trait Watcher: Send {
    /// The next batch. After an error the watcher is done for; list again (on [`StoreError::Compacted`]) or watch
    /// again from the last revision seen + 1.
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, StoreError>>;
}

/// Largest value in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;

/// Most guards, and most writes, of one transaction.
pub const MAX_OPERATIONS: usize = 100;

/// Longest key in bytes.
pub const MAX_KEY: usize = 512;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub entries: Vec<StoreEntry>,
    /// The revision it shows; pass it as `at` for the next page.
    pub revision: Revision,
    /// Whether there is more after the last entry.
    pub more: bool,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreEntry {
    /// Key.
    pub key: String,
    /// Value.
    pub value: Vec<u8>,
    /// Revision of its last write.
    pub modified: Revision,
}

/// Changes of one or several commits, never part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub events: Vec<StoreEvent>,
    /// Everything up to this revision has been delivered. May come without events.
    pub revision: Revision,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// Written.
    Put(StoreEntry),
    /// Deleted, by hand or because its lease ended.
    Delete {
        /// Key.
        key: String,
        /// Revision of the deletion.
        revision: Revision,
    },
}

/// A transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Then these are written, each key at most once.
    pub writes: Vec<Write>,
}

/// A condition on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(String),
    /// The key was last written at this revision.
    Modified(String, Revision),
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put {
        /// Key.
        key: String,
        /// Value.
        value: Vec<u8>,
        /// Goes with this lease, if any.
        lease: Option<Lease>,
    },
    /// Deletes a key; not an error if it is absent.
    Delete(String),
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// Written, at this revision.
    Done(Revision),
    /// A guard did not hold; nothing was written.
    GuardFailed,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

/// Why the store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, no quorum, or too slow. Trying again later may help; whether a commit happened is unknown.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// History before this revision is gone: list again.
    #[error("history up to revision {0} has been compacted")]
    Compacted(Revision),
    /// The lease has expired.
    #[error("the lease has expired")]
    LeaseLost,
    /// The request can never succeed (value too large, malformed key).
    #[error("the store refuses this request: {0}")]
    Refused(String),
    /// The store is full; deletes still work.
    #[error("the store is out of space: compact, defragment, then disarm its alarm")]
    NoSpace,
}

/// Seals values before they reach the store.
pub trait Seal: Send + Sync + 'static {
    /// Seals `plain` for the place `aad` (organization, kind, id, field).
    fn seal(&self, aad: &SealPlace, plain: &[u8]) -> Result<toolgate_model::SealedBlob, SealError>;

    /// Opens what was sealed for the same place.
    fn open(
        &self,
        aad: &SealPlace,
        sealed: &toolgate_model::SealedBlob,
    ) -> Result<Opened, SealError>;
}

/// Where a sealed value belongs; it opens nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealPlace {
    /// Organization id, or `_system`.
    pub org: String,
    /// Kind, e.g. `credential`.
    pub kind: &'static str,
    /// Object id.
    pub id: String,
    /// Field, e.g. `value`.
    pub field: &'static str,
}

impl SealPlace {
    /// The value of a credential.
    pub fn credential_value(name: &toolgate_model::Name) -> Self {
        Self {
            org: name.org.to_string(),
            kind: "credential",
            id: name.id.to_string(),
            field: "value",
        }
    }
}

/// An opened secret: no `Debug`, no `Clone`, overwritten on drop by the adapter's own type.
pub type Opened = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Why sealing or opening failed. Says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key of this id.
    #[error("sealed with key `{0}`, which this process does not have")]
    UnknownKey(String),
    /// Wrong place, altered, or truncated.
    #[error("the sealed value does not belong here or has been altered")]
    Mismatch,
}

/// Asks for probes of servers. The prober itself follows the desired state; this is the operator's "now".
pub trait Prober: Send + Sync + 'static {
    /// Probes the server and returns what was seen, after it has been stored.
    fn probe_now(
        &self,
        server: toolgate_model::Name,
    ) -> BoxFuture<'_, Result<Catalogue, ProbeError>>;
}

/// Why a probe could not be made at all. A server that fails it is an ordinary [`Catalogue`] with a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// There is no such server.
    #[error("no such server")]
    NoSuchServer,
    /// Not answered in time.
    #[error("the prober is busy; try again in a few seconds")]
    Busy,
}
