//! Conformance suite for [`Store`] implementations. Each check gets its own store or namespace. No check assumes an
//! initial revision or exclusive access to the store. A failed check describes the violated guarantee.
//! `store/tests` runs the suite against etcd, a file and memory.

use std::{sync::Arc, time::Duration};

use toolgate_control_core::port::{
    BoxFuture, KeyValue, Revision, Store, StoreError, StoreEvent, StoreWatcher, Txn, TxnCompare,
    TxnOutcome, WatchBatch, WriteOp,
};

mod history;
mod leases;
mod pages;
mod random;
mod transactions;
mod watches;

/// Store that a check runs against.
pub type StoreUnderTest = Arc<dyn Store>;

/// Conformance check: its name and its function.
pub type ConformanceCheck = (
    &'static str,
    fn(StoreUnderTest) -> BoxFuture<'static, Result<(), ConformanceError>>,
);

/// Error of a conformance check.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The store violated a guarantee.
    #[error("{0}")]
    Violation(String),
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An expected event did not occur in time.
    #[error("waited in vain for {0}")]
    Timeout(&'static str),
}

/// All checks.
pub const CHECKS: &[ConformanceCheck] = &[
    ("a_transaction_is_all_or_nothing", |s| {
        Box::pin(transactions::all_or_nothing(s))
    }),
    ("a_guard_compares_revisions", |s| {
        Box::pin(transactions::guards(s))
    }),
    ("a_guard_of_a_prefix_compares_all_its_keys", |s| {
        Box::pin(transactions::prefix_guards(s))
    }),
    (
        "a_guard_of_the_earliest_last_write_fails_in_an_older_store",
        |s| Box::pin(transactions::guards_against_older_writes(s)),
    ),
    ("of_many_writers_one_wins_each_round", |s| {
        Box::pin(transactions::contention(s))
    }),
    ("nothing_written_is_no_revision", |s| {
        Box::pin(transactions::nothing(s))
    }),
    ("what_can_never_be_written_is_refused", |s| {
        Box::pin(transactions::refusals(s))
    }),
    ("values_survive_byte_for_byte", |s| {
        Box::pin(transactions::values(s))
    }),
    ("keys_are_listed_in_order", |s| Box::pin(pages::order(s))),
    ("pages_show_one_revision", |s| {
        Box::pin(pages::fixed_revision(s))
    }),
    ("keys_are_listed_without_values", |s| {
        Box::pin(pages::keys(s))
    }),
    ("a_prefix_is_a_prefix", |s| Box::pin(pages::prefixes(s))),
    ("a_watch_tells_everything_once_and_in_order", |s| {
        Box::pin(watches::everything(s))
    }),
    ("a_watch_starts_in_the_past", |s| Box::pin(watches::past(s))),
    ("a_commit_is_never_cut_in_two", |s| {
        Box::pin(watches::whole_commits(s))
    }),
    ("watches_do_not_disturb_each_other", |s| {
        Box::pin(watches::several(s))
    }),
    ("compacted_history_is_an_error_and_the_present_stays", |s| {
        Box::pin(history::compaction(s))
    }),
    ("compacting_twice_or_into_the_future_harms_nothing", |s| {
        Box::pin(history::repeated_compactions(s))
    }),
    ("what_a_lease_holds_goes_with_it", |s| {
        Box::pin(leases::expiry(s))
    }),
    ("a_lease_that_is_kept_alive_stays", |s| {
        Box::pin(leases::kept_alive(s))
    }),
    ("a_revoked_lease_is_gone_at_once", |s| {
        Box::pin(leases::revoked(s))
    }),
    ("random_histories_agree_with_a_plain_map", |s| {
        Box::pin(random::histories(s))
    }),
];

/// Runs every check on a store created by `fresh`. Stops at the first failed check and returns its name and error.
pub async fn check_all<F, E>(mut fresh: F) -> Result<(), String>
where
    F: AsyncFnMut(&'static str) -> Result<StoreUnderTest, E>,
    E: std::fmt::Display,
{
    for (name, promise) in CHECKS {
        let store = fresh(name)
            .await
            .map_err(|e| format!("{name}: no store: {e}"))?;
        promise(store).await.map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Maximum wait for an expected event.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

fn ensure(holds: bool, promise: impl FnOnce() -> String) -> Result<(), ConformanceError> {
    if holds {
        return Ok(());
    }
    Err(ConformanceError::Violation(promise()))
}

fn ensure_eq<T: PartialEq + std::fmt::Debug>(
    what: &str,
    is: T,
    should: T,
) -> Result<(), ConformanceError> {
    ensure(is == should, || {
        format!("{what}: is {is:?}, should be {should:?}")
    })
}

fn put(key: &str, value: &str) -> WriteOp {
    WriteOp::Put {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        lease: None,
    }
}

fn delete(key: &str) -> WriteOp {
    WriteOp::Delete(key.to_owned())
}

async fn write(store: &StoreUnderTest, writes: Vec<WriteOp>) -> Result<Revision, ConformanceError> {
    try_write(store, Vec::new(), writes)
        .await?
        .ok_or(ConformanceError::Timeout("a commit without guards"))
}

/// Commits with `guards`. Returns the revision, or `None` if a compare failed.
async fn try_write(
    store: &StoreUnderTest,
    guards: Vec<TxnCompare>,
    writes: Vec<WriteOp>,
) -> Result<Option<Revision>, ConformanceError> {
    Ok(
        match store
            .commit(Txn {
                compares: guards,
                writes,
            })
            .await?
        {
            TxnOutcome::Committed(revision) => Some(revision),
            TxnOutcome::CompareFailed => None,
        },
    )
}

/// Lists everything under `prefix` in pages at one revision.
async fn list_all(
    store: &StoreUnderTest,
    prefix: &str,
    limit: usize,
    at: Option<Revision>,
) -> Result<(Vec<KeyValue>, Revision), ConformanceError> {
    let mut page = store.list(prefix, None, limit, at).await?;
    let revision = page.revision;
    let mut entries = Vec::new();
    loop {
        ensure(page.entries.len() <= limit, || {
            "a page is larger than asked for".to_owned()
        })?;
        entries.append(&mut page.entries);
        if !page.more {
            return Ok((entries, revision));
        }
        let after = entries.last().map(|entry| entry.key.clone());
        page = store
            .list(prefix, after.as_deref(), limit, Some(revision))
            .await?;
        ensure_eq("revision of a later page", page.revision, revision)?;
    }
}

/// Returns all keys under `prefix` with their values as text.
async fn pairs(
    store: &StoreUnderTest,
    prefix: &str,
) -> Result<Vec<(String, String)>, ConformanceError> {
    let (entries, _) = list_all(store, prefix, 100, None).await?;
    let pair = |entry: KeyValue| {
        (
            entry.key,
            String::from_utf8_lossy(&entry.value).into_owned(),
        )
    };
    Ok(entries.into_iter().map(pair).collect())
}

async fn next(watcher: &mut Box<dyn StoreWatcher>) -> Result<WatchBatch, ConformanceError> {
    match tokio::time::timeout(WAIT_TIMEOUT, watcher.next()).await {
        Ok(batch) => Ok(batch?),
        Err(_elapsed) => Err(ConformanceError::Timeout(
            "a change that a watch should tell",
        )),
    }
}

/// Collects events until an event at `revision` or later has arrived.
async fn events_until(
    watcher: &mut Box<dyn StoreWatcher>,
    revision: Revision,
) -> Result<Vec<StoreEvent>, ConformanceError> {
    let mut events = Vec::new();
    loop {
        let batch = next(watcher).await?;
        let last = batch.events.iter().map(event_revision).max();
        events.extend(batch.events);
        if last.is_some_and(|last| last >= revision) {
            return Ok(events);
        }
    }
}

fn event_revision(event: &StoreEvent) -> Revision {
    match event {
        StoreEvent::Put(entry) => entry.mod_revision,
        StoreEvent::Delete { revision, .. } => *revision,
    }
}

/// Formats an event for comparison: `key=value@revision`, or `-key@revision`.
fn format_event(event: &StoreEvent) -> String {
    match event {
        StoreEvent::Put(entry) => {
            let value = String::from_utf8_lossy(&entry.value);
            format!("{}={value}@{}", entry.key, entry.mod_revision)
        }
        StoreEvent::Delete { key, revision } => format!("-{key}@{revision}"),
    }
}
