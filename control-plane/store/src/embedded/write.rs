//! Writes: commits, leases and compaction. Each is one write transaction, durable when the function returns.

use redb::{Database, ReadableDatabase as _, ReadableTable, Table, WriteTransaction};
use toolgate_control_core::port::{
    Lease, Revision, StoreError, Txn, TxnCompare, TxnOutcome, WriteOp,
};

use super::{
    error::OrStoreError,
    tables::{COMPACTED, COUNTERS, CURRENT, LEASE, LEASE_KEYS, LEASES, LOG, REVISION, VERSIONS},
};

/// Creates the tables of a new file. An existing file is not written to, so that it can be opened on a full disk.
pub(super) fn create_tables(database: &Database) -> Result<(), StoreError> {
    let read = database.begin_read().or_store_error()?;
    if read.list_tables().or_store_error()?.count() == TABLE_COUNT {
        return Ok(());
    }
    drop(read);
    let txn = database.begin_write().or_store_error()?;
    {
        let tables = WriteTables::open(&txn)?;
        if tables.counter(REVISION)? == 0 {
            let mut tables = tables;
            tables.set(REVISION, 1)?;
        }
    }
    txn.commit().or_store_error()
}

/// Number of tables that [`WriteTables`] opens.
const TABLE_COUNT: usize = 6;

pub(super) fn commit(
    database: &Database,
    request: &Txn,
    history: u64,
) -> Result<TxnOutcome, StoreError> {
    let txn = database.begin_write().or_store_error()?;
    let outcome = {
        let mut tables = WriteTables::open(&txn)?;
        if tables.compares_hold(&request.compares)? {
            let writes = tables.effective(&request.writes)?;
            let revision = tables.write(&writes)?;
            tables.trim(history)?;
            TxnOutcome::Committed(revision)
        } else {
            TxnOutcome::CompareFailed
        }
    };
    match outcome {
        TxnOutcome::Committed(_) => txn.commit().or_store_error()?,
        TxnOutcome::CompareFailed => txn.abort().or_store_error()?,
    }
    Ok(outcome)
}

pub(super) fn grant_lease(database: &Database, ttl_seconds: u64) -> Result<i64, StoreError> {
    let txn = database.begin_write().or_store_error()?;
    let lease = {
        let mut tables = WriteTables::open(&txn)?;
        let number = tables.counter(LEASE)? + 1;
        tables.set(LEASE, number)?;
        let lease = i64::try_from(number).unwrap_or(i64::MAX);
        tables.leases.insert(lease, ttl_seconds).or_store_error()?;
        lease
    };
    txn.commit().or_store_error()?;
    Ok(lease)
}

/// Ends a lease and deletes its keys. Returns the revision of the deletions, if any.
pub(super) fn end_lease(
    database: &Database,
    lease: i64,
    history: u64,
) -> Result<Option<Revision>, StoreError> {
    let txn = database.begin_write().or_store_error()?;
    let revision = {
        let mut tables = WriteTables::open(&txn)?;
        tables.leases.remove(lease).or_store_error()?;
        let keys = tables.keys_of(lease)?;
        let writes: Vec<WriteOp> = keys.into_iter().map(WriteOp::Delete).collect();
        let writes: Vec<&WriteOp> = writes.iter().collect();
        if writes.is_empty() {
            None
        } else {
            let revision = tables.write(&writes)?;
            tables.trim(history)?;
            Some(revision)
        }
    };
    txn.commit().or_store_error()?;
    Ok(revision)
}

pub(super) fn compact(database: &Database, revision: Revision) -> Result<(), StoreError> {
    let txn = database.begin_write().or_store_error()?;
    {
        let mut tables = WriteTables::open(&txn)?;
        let latest = tables.counter(REVISION)?;
        if revision > latest {
            let reason = format!("revision {revision} lies in the future; the latest is {latest}");
            return Err(StoreError::InvalidRequest(reason));
        }
        tables.compact(revision)?;
    }
    txn.commit().or_store_error()
}

struct WriteTables<'t> {
    current: Table<'t, &'static str, (u64, i64)>,
    versions: Table<'t, (&'static str, u64), Option<&'static [u8]>>,
    log: Table<'t, (u64, u32), &'static str>,
    leases: Table<'t, i64, u64>,
    lease_keys: Table<'t, (i64, &'static str), ()>,
    counters: Table<'t, &'static str, u64>,
}

impl<'t> WriteTables<'t> {
    fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            current: txn.open_table(CURRENT).or_store_error()?,
            versions: txn.open_table(VERSIONS).or_store_error()?,
            log: txn.open_table(LOG).or_store_error()?,
            leases: txn.open_table(LEASES).or_store_error()?,
            lease_keys: txn.open_table(LEASE_KEYS).or_store_error()?,
            counters: txn.open_table(COUNTERS).or_store_error()?,
        })
    }

    fn counter(&self, name: &str) -> Result<u64, StoreError> {
        let value = self.counters.get(name).or_store_error()?;
        Ok(value.map_or(0, |value| value.value()))
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), StoreError> {
        self.counters.insert(name, value).or_store_error()?;
        Ok(())
    }

    fn state(&self, key: &str) -> Result<Option<(u64, i64)>, StoreError> {
        let state = self.current.get(key).or_store_error()?;
        Ok(state.map(|state| state.value()))
    }

    fn compares_hold(&self, guards: &[TxnCompare]) -> Result<bool, StoreError> {
        for guard in guards {
            let holds = match guard {
                TxnCompare::Absent(key) => self.state(key)?.is_none(),
                TxnCompare::ModRevision(key, at) => {
                    self.state(key)?.is_some_and(|(is, _)| is == *at)
                }
                TxnCompare::ModRevisionAtLeast(key, at) => {
                    self.state(key)?.is_some_and(|(is, _)| is >= *at)
                }
                TxnCompare::NotModifiedAfter { prefix, revision } => {
                    !self.is_modified_after(prefix, *revision)?
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns `true` if a key that begins with `prefix` was written after `revision`.
    fn is_modified_after(&self, prefix: &str, revision: Revision) -> Result<bool, StoreError> {
        for entry in self.current.range(prefix..).or_store_error()? {
            let (key, state) = entry.or_store_error()?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let (modified, _) = state.value();
            if modified > revision {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the writes that change the store. A put always changes it; a delete only if the key exists.
    fn effective<'w>(&self, writes: &'w [WriteOp]) -> Result<Vec<&'w WriteOp>, StoreError> {
        let mut effective = Vec::new();
        for write in writes {
            let changes = match write {
                WriteOp::Put { lease, .. } => {
                    self.check_lease(*lease)?;
                    true
                }
                WriteOp::Delete(key) => self.state(key)?.is_some(),
            };
            if changes {
                effective.push(write);
            }
        }
        Ok(effective)
    }

    fn check_lease(&self, lease: Option<Lease>) -> Result<(), StoreError> {
        let Some(lease) = lease else { return Ok(()) };
        match self.leases.get(lease.0).or_store_error()? {
            Some(_) => Ok(()),
            None => Err(StoreError::LeaseNotFound),
        }
    }

    /// Applies the writes at a new revision. Returns the latest revision if there are no writes.
    fn write(&mut self, writes: &[&WriteOp]) -> Result<Revision, StoreError> {
        let latest = self.counter(REVISION)?;
        if writes.is_empty() {
            return Ok(latest);
        }
        let revision = latest + 1;
        self.set(REVISION, revision)?;
        for (index, write) in (0..).zip(writes) {
            let (key, value, lease) = match write {
                WriteOp::Put { key, value, lease } => (key, Some(value.as_slice()), *lease),
                WriteOp::Delete(key) => (key, None, None),
            };
            self.attach(key, lease)?;
            let lease = lease.map_or(0, |lease| lease.0);
            match value {
                Some(_) => {
                    let state = (revision, lease);
                    self.current.insert(key.as_str(), state).or_store_error()?;
                }
                None => {
                    self.current.remove(key.as_str()).or_store_error()?;
                }
            }
            self.versions
                .insert((key.as_str(), revision), value)
                .or_store_error()?;
            self.log
                .insert((revision, index), key.as_str())
                .or_store_error()?;
        }
        Ok(revision)
    }

    /// Moves a key from its previous lease to `lease`.
    fn attach(&mut self, key: &str, lease: Option<Lease>) -> Result<(), StoreError> {
        if let Some((_, before)) = self.state(key)? {
            self.lease_keys.remove((before, key)).or_store_error()?;
        }
        if let Some(lease) = lease {
            self.lease_keys
                .insert((lease.0, key), ())
                .or_store_error()?;
        }
        Ok(())
    }

    fn keys_of(&self, lease: i64) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.lease_keys.range((lease, "")..).or_store_error()? {
            let (at, ()) = (entry.or_store_error()?.0, ());
            let (of, key) = at.value();
            if of != lease {
                break;
            }
            keys.push(key.to_owned());
        }
        Ok(keys)
    }

    /// Compacts up to two revisions beyond the history limit, so that the cost is spread over commits.
    fn trim(&mut self, history: u64) -> Result<(), StoreError> {
        let latest = self.counter(REVISION)?;
        let compacted = self.counter(COMPACTED)?;
        let due = latest.saturating_sub(history);
        if due > compacted {
            self.compact(due.min(compacted + 2))?;
        }
        Ok(())
    }

    /// Compacts history up to and including `revision`. Of each key changed by then only the last version stays; a
    /// deletion is removed too.
    fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        let compacted = self.counter(COMPACTED)?;
        for at in compacted + 1..=revision {
            for (index, key) in self.logged_keys(at)? {
                self.remove_versions_before(&key, at)?;
                self.log.remove((at, index)).or_store_error()?;
            }
        }
        self.set(COMPACTED, revision.max(compacted))
    }

    fn logged_keys(&self, at: Revision) -> Result<Vec<(u32, String)>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.log.range((at, 0)..=(at, u32::MAX)).or_store_error()? {
            let (position, key) = entry.or_store_error()?;
            keys.push((position.value().1, key.value().to_owned()));
        }
        Ok(keys)
    }

    fn remove_versions_before(&mut self, key: &str, at: Revision) -> Result<(), StoreError> {
        let mut old = Vec::new();
        for entry in self.versions.range((key, 0)..=(key, at)).or_store_error()? {
            let (version, value) = entry.or_store_error()?;
            let (_, revision) = version.value();
            if revision < at || value.value().is_none() {
                old.push(revision);
            }
        }
        for revision in old {
            self.versions.remove((key, revision)).or_store_error()?;
        }
        Ok(())
    }
}
