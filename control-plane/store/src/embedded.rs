//! Embedded store for a single machine: redb, in a file or in memory, with the data model of etcd (revisions,
//! bounded history for watches and paging, leases). A commit is durable before it returns. One process at a time
//! owns the file.
//!
//! ```text
//! current     key             -> revision of the last write, lease
//! versions    key, revision   -> value, or none for a deletion     kept for the history and for the latest revision
//! log         revision, index -> key                               read by watches
//! leases      lease           -> TTL in seconds
//! lease_keys  lease, key      -> ()
//! counters    name            -> revision, compacted revision, lease
//! ```

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, RwLock, atomic::AtomicBool},
    time::Duration,
};

use redb::{Database, ReadableDatabase, backends::InMemoryBackend};
use tokio::{sync::watch, task::spawn_blocking};
use toolgate_control_core::port::{
    BoxFuture, Lease, Revision, Store, StoreError, StoreKeyPage, StorePage, StoreSpace,
    StoreWatcher, Txn, TxnOutcome,
};
use toolgate_runtime::clock::SharedClock;

use crate::request;
use read::PageContent;

mod error;
mod file;
mod leases;
mod open;
mod read;
mod space;
mod tables;
#[cfg(test)]
mod tests;
mod watcher;
mod write;

use error::OrStoreError;
pub use error::StoreOpenError;
use leases::LeaseTimers;

/// Number of revisions kept as history.
const HISTORY_REVISIONS: u64 = 10_000;

/// Maximum interval at which a watcher checks for expired leases.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// [`Store`] implementation on redb. Cheap to clone.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<EmbeddedInner>,
}

struct EmbeddedInner {
    /// `None` while the file cannot be opened again.
    database: RwLock<Option<Database>>,
    /// Path of the file; `None` in memory.
    path: Option<PathBuf>,
    /// True after an error of the file. redb accepts no writes from then on, until the file is opened again.
    failed: AtomicBool,
    /// True after a write that found no room.
    full: AtomicBool,
    deadlines: LeaseTimers,
    /// Latest revision. Watchers wait for it to grow and then read the changes from the log.
    latest: watch::Sender<Revision>,
    history: u64,
}

impl EmbeddedStore {
    /// Opens the store in the file at `path`. Creates the file if it does not exist.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, StoreOpenError> {
        let database = open::open_checked(path)?;
        restrict_permissions(path).map_err(|e| StoreOpenError::from_io(path, &e))?;
        let started = open::catch(path, || {
            Self::start(database, Some(path), clock, HISTORY_REVISIONS)
        })?;
        started.map_err(|e| StoreOpenError::unreadable(path, e))
    }

    /// Creates a store in memory.
    pub fn in_memory(clock: SharedClock) -> Result<Self, StoreOpenError> {
        let path = Path::new("memory");
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        let database = database.map_err(|e| StoreOpenError::from_redb(path, e))?;
        Self::start(database, None, clock, HISTORY_REVISIONS)
            .map_err(|e| StoreOpenError::unreadable(path, e))
    }

    /// Creates a store in memory that keeps `history` revisions.
    #[cfg(test)]
    pub(crate) fn with_history(clock: SharedClock, history: u64) -> Result<Self, StoreError> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        Self::start(database.or_store_error()?, None, clock, history)
    }

    fn start(
        database: Database,
        path: Option<&Path>,
        clock: SharedClock,
        history: u64,
    ) -> Result<Self, StoreError> {
        write::create_tables(&database)?;
        let read = database.begin_read().or_store_error()?;
        let revision = read::counter(&read, tables::REVISION)?;
        let deadlines = LeaseTimers::new(clock, read::leases(&read)?);
        drop(read);
        let (latest, _) = watch::channel(revision);
        let shared = Arc::new(EmbeddedInner {
            database: RwLock::new(Some(database)),
            path: path.map(Path::to_owned),
            failed: AtomicBool::new(false),
            full: AtomicBool::new(false),
            deadlines,
            latest,
            history,
        });
        Ok(Self { shared })
    }

    /// Runs `work` on a blocking thread after expired leases are removed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmbeddedInner, &Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = spawn_blocking(move || {
            shared.with_database(|database| {
                shared.expire(database)?;
                work(&shared, database)
            })
        });
        match work.await {
            Ok(result) => result,
            Err(ended) if ended.is_panic() => Err(self.shared.damaged()),
            Err(_) => Err(StoreError::Unavailable("the process is ending".to_owned())),
        }
    }
}

/// Restricts the file to its owner. Secrets are sealed, but names, addresses and hashes are confidential too.
fn restrict_permissions(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

impl EmbeddedInner {
    /// Deletes the keys of expired leases.
    fn expire(&self, database: &Database) -> Result<(), StoreError> {
        for lease in self.deadlines.expired() {
            let revision = write::end_lease(database, lease, self.history)?;
            self.deadlines.remove(lease);
            self.publish_revision(revision);
        }
        Ok(())
    }

    fn publish_revision(&self, revision: Option<Revision>) {
        if let Some(revision) = revision {
            self.latest.send_if_modified(|latest| {
                let has_grown = revision > *latest;
                *latest = revision.max(*latest);
                has_grown
            });
        }
    }
}

impl Store for EmbeddedStore {
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            request::check_limit(limit)?;
            self.blocking(move |_, database| {
                let read = database.begin_read().or_store_error()?;
                let content = PageContent::KeysAndValues;
                read::list(&read, &prefix, after.as_deref(), limit, at, content)
            })
            .await
        })
    }

    fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StoreKeyPage, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            request::check_limit(limit)?;
            let page = self.blocking(move |_, database| {
                let read = database.begin_read().or_store_error()?;
                let content = PageContent::Keys;
                read::list(&read, &prefix, after.as_deref(), limit, at, content)
            });
            Ok(request::keys_of(page.await?))
        })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            request::check(&txn)?;
            self.blocking(move |shared, database| {
                let commit = write::commit(database, &txn, shared.history)?;
                if let TxnOutcome::Committed(revision) = &commit {
                    shared.publish_revision(Some(*revision));
                }
                Ok(commit)
            })
            .await
        })
    }

    fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> BoxFuture<'_, Result<Box<dyn StoreWatcher>, StoreError>> {
        let watcher = watcher::LogWatcher::new(self.clone(), prefix.to_owned(), from);
        Box::pin(async move {
            watcher.check().await?;
            Ok(Box::new(watcher) as Box<dyn StoreWatcher>)
        })
    }

    fn grant_lease(&self, ttl_seconds: u64) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(self.blocking(move |shared, database| {
            let lease = write::grant_lease(database, ttl_seconds)?;
            shared.deadlines.set(lease, ttl_seconds);
            Ok(Lease(lease))
        }))
    }

    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(
            self.blocking(move |shared, _| match shared.deadlines.renew(lease.0) {
                true => Ok(()),
                false => Err(StoreError::LeaseNotFound),
            }),
        )
    }

    fn revoke_lease(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.blocking(move |shared, database| {
            if !shared.deadlines.remove(lease.0) {
                return Err(StoreError::LeaseNotFound);
            }
            let revision = write::end_lease(database, lease.0, shared.history)?;
            shared.publish_revision(revision);
            Ok(())
        }))
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.blocking(move |_, database| write::compact(database, revision)))
    }

    fn space(&self) -> BoxFuture<'_, Result<StoreSpace, StoreError>> {
        Box::pin(self.on_file(|shared| shared.measure()))
    }

    fn set_reserve_aside(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.on_file(|shared| shared.write_reserve()))
    }

    fn reclaim(&self, reserve: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.on_file(move |shared| match reserve {
            true => shared.give_up_reserve(),
            false => Ok(()),
        }))
    }
}
