//! Conformance suite for [`Store`] implementations. Each check gets its own store or namespace. No check assumes an
//! initial revision or exclusive access to the store. A failed check describes the violated guarantee.
//! `store/tests` runs the suite against etcd, a file and memory.

use std::{sync::Arc, time::Duration};

use toolgate_control_core::port::{
    Batch, BoxFuture, Commit, Guard, Revision, Store, StoreEntry, StoreError, StoreEvent, Txn,
    Watcher, Write,
};

mod history;
mod leases;
mod pages;
mod random;
mod transactions;
mod watching;

/// Store that a check runs against.
pub type Subject = Arc<dyn Store>;

/// Conformance check: its name and its function.
pub type Promise = (
    &'static str,
    fn(Subject) -> BoxFuture<'static, Result<(), Broken>>,
);

/// Error of a conformance check.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The store violated a guarantee.
    #[error("{0}")]
    Promise(String),
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An expected event did not occur in time.
    #[error("waited in vain for {0}")]
    InVain(&'static str),
}

/// All checks.
pub const PROMISES: &[Promise] = &[
    ("a_transaction_is_all_or_nothing", |s| {
        Box::pin(transactions::all_or_nothing(s))
    }),
    ("a_guard_compares_revisions", |s| {
        Box::pin(transactions::guards(s))
    }),
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
    ("a_prefix_is_a_prefix", |s| Box::pin(pages::prefixes(s))),
    ("a_watch_tells_everything_once_and_in_order", |s| {
        Box::pin(watching::everything(s))
    }),
    ("a_watch_starts_in_the_past", |s| {
        Box::pin(watching::past(s))
    }),
    ("a_commit_is_never_cut_in_two", |s| {
        Box::pin(watching::whole_commits(s))
    }),
    ("watches_do_not_disturb_each_other", |s| {
        Box::pin(watching::several(s))
    }),
    ("compacted_history_is_an_error_and_the_present_stays", |s| {
        Box::pin(history::compaction(s))
    }),
    ("compacting_twice_or_into_the_future_harms_nothing", |s| {
        Box::pin(history::odd_compactions(s))
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
    F: AsyncFnMut(&'static str) -> Result<Subject, E>,
    E: std::fmt::Display,
{
    for (name, promise) in PROMISES {
        let store = fresh(name)
            .await
            .map_err(|e| format!("{name}: no store: {e}"))?;
        promise(store).await.map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Maximum wait for an expected event.
const SOON: Duration = Duration::from_secs(10);

fn ensure(holds: bool, promise: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds {
        return Ok(());
    }
    Err(Broken::Promise(promise()))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), Broken> {
    ensure(is == should, || {
        format!("{what}: is {is:?}, should be {should:?}")
    })
}

fn put(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        lease: None,
    }
}

fn delete(key: &str) -> Write {
    Write::Delete(key.to_owned())
}

async fn write(store: &Subject, writes: Vec<Write>) -> Result<Revision, Broken> {
    guarded(store, Vec::new(), writes)
        .await?
        .ok_or(Broken::InVain("a commit without guards"))
}

/// Commits with `guards`. Returns the revision, or `None` if a compare failed.
async fn guarded(
    store: &Subject,
    guards: Vec<Guard>,
    writes: Vec<Write>,
) -> Result<Option<Revision>, Broken> {
    Ok(match store.commit(Txn { guards, writes }).await? {
        Commit::Done(revision) => Some(revision),
        Commit::GuardFailed => None,
    })
}

/// Lists everything under `prefix` in pages at one revision.
async fn all(
    store: &Subject,
    prefix: &str,
    limit: usize,
    at: Option<Revision>,
) -> Result<(Vec<StoreEntry>, Revision), Broken> {
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
        same("revision of a later page", page.revision, revision)?;
    }
}

/// Returns all keys under `prefix` with their values as text.
async fn pairs(store: &Subject, prefix: &str) -> Result<Vec<(String, String)>, Broken> {
    let (entries, _) = all(store, prefix, 100, None).await?;
    let pair = |entry: StoreEntry| {
        (
            entry.key,
            String::from_utf8_lossy(&entry.value).into_owned(),
        )
    };
    Ok(entries.into_iter().map(pair).collect())
}

async fn next(watcher: &mut Box<dyn Watcher>) -> Result<Batch, Broken> {
    match tokio::time::timeout(SOON, watcher.next()).await {
        Ok(batch) => Ok(batch?),
        Err(_elapsed) => Err(Broken::InVain("a change that a watch should tell")),
    }
}

/// Collects events until an event at `revision` or later has arrived.
async fn until(
    watcher: &mut Box<dyn Watcher>,
    revision: Revision,
) -> Result<Vec<StoreEvent>, Broken> {
    let mut events = Vec::new();
    loop {
        let batch = next(watcher).await?;
        let last = batch.events.iter().map(told_at).max();
        events.extend(batch.events);
        if last.is_some_and(|last| last >= revision) {
            return Ok(events);
        }
    }
}

fn told_at(event: &StoreEvent) -> Revision {
    match event {
        StoreEvent::Put(entry) => entry.modified,
        StoreEvent::Delete { revision, .. } => *revision,
    }
}

/// Formats an event for comparison: `key=value@revision`, or `-key@revision`.
fn told(event: &StoreEvent) -> String {
    match event {
        StoreEvent::Put(entry) => {
            let value = String::from_utf8_lossy(&entry.value);
            format!("{}={value}@{}", entry.key, entry.modified)
        }
        StoreEvent::Delete { key, revision } => format!("-{key}@{revision}"),
    }
}
