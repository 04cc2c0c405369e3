//! Checks of transactions.

use toolgate_control_core::port::{
    MAX_TXN_OPS, MAX_VALUE_BYTES, StoreError, Txn, TxnCompare, WriteOp,
};

use super::{
    ConformanceError, StoreUnderTest, delete, ensure, ensure_eq, list_all, pairs, put, try_write,
    write,
};

pub(super) async fn all_or_nothing(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let first = write(&store, vec![put("/a", "1"), put("/b", "1")]).await?;
    let stale = TxnCompare::ModRevision("/b".to_owned(), first - 1);
    let failed = try_write(&store, vec![stale], vec![put("/a", "2"), delete("/b")]).await?;
    ensure_eq("a commit whose guard does not hold", failed, None)?;
    let kept = [("/a", "1"), ("/b", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    ensure_eq(
        "the store after it",
        pairs(&store, "/").await?,
        kept.to_vec(),
    )?;

    let held = TxnCompare::ModRevision("/b".to_owned(), first);
    let done = try_write(&store, vec![held], vec![put("/a", "2"), delete("/b")]).await?;
    ensure(done.is_some_and(|at| at > first), || {
        "a commit moves the revision".to_owned()
    })?;
    let (entries, revision) = list_all(&store, "/", 10, None).await?;
    let modified: Vec<u64> = entries.iter().map(|entry| entry.mod_revision).collect();
    ensure_eq(
        "what one commit wrote has its revision",
        modified,
        done.into_iter().collect(),
    )?;
    ensure(Some(revision) >= done, || {
        "a listing after a commit shows it".to_owned()
    })
}

pub(super) async fn guards(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let absent = || vec![TxnCompare::Absent("/k".to_owned())];
    let created = try_write(&store, absent(), vec![put("/k", "1")]).await?;
    ensure(created.is_some(), || {
        "absent holds for an absent key".to_owned()
    })?;
    let again = try_write(&store, absent(), vec![put("/k", "2")]).await?;
    ensure_eq("absent does not hold for a present key", again, None)?;

    let at = |revision| vec![TxnCompare::ModRevision("/k".to_owned(), revision)];
    let first = created.unwrap_or_default();
    let updated = try_write(&store, at(first), vec![put("/k", "3")])
        .await?
        .unwrap_or_default();
    ensure(updated > first, || {
        "modified holds for the last write".to_owned()
    })?;
    let stale = try_write(&store, at(first), vec![put("/k", "4")]).await?;
    ensure_eq("modified does not hold for an older write", stale, None)?;

    write(&store, vec![delete("/k")]).await?;
    let gone = try_write(&store, at(updated), vec![put("/k", "5")]).await?;
    ensure_eq("modified does not hold for a deleted key", gone, None)?;
    let reborn = try_write(&store, absent(), vec![put("/k", "6")]).await?;
    ensure(reborn.is_some(), || {
        "absent holds for a deleted key".to_owned()
    })
}

pub(super) async fn guards_against_older_writes(
    store: StoreUnderTest,
) -> Result<(), ConformanceError> {
    let at_least = |revision| vec![TxnCompare::ModRevisionAtLeast("/k".to_owned(), revision)];
    let before = write(&store, vec![put("/k0", "1"), put("/j", "1")]).await?;
    for revision in [0, before] {
        let refused = try_write(&store, at_least(revision), vec![put("/n", "1")]).await?;
        ensure_eq("a key that does not exist", refused, None)?;
    }
    let first = write(&store, vec![put("/k", "1")]).await?;
    let refused = try_write(&store, at_least(first + 1), vec![put("/n", "1")]).await?;
    ensure_eq("a last write before the revision", refused, None)?;
    let held = try_write(&store, at_least(first), vec![put("/k", "2")]).await?;
    ensure(held.is_some_and(|at| at > first), || {
        "a last write at the revision".to_owned()
    })?;
    let held = try_write(&store, at_least(first), vec![put("/n", "1")]).await?;
    ensure(held.is_some(), || {
        "a last write after the revision".to_owned()
    })?;
    write(&store, vec![delete("/k")]).await?;
    let refused = try_write(&store, at_least(first), vec![put("/n", "1")]).await?;
    ensure_eq("a key that was deleted", refused, None)
}

pub(super) async fn prefix_guards(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let not_after = |revision| {
        vec![TxnCompare::NotModifiedAfter {
            prefix: "/p/".to_owned(),
            revision,
        }]
    };
    // Neighbours in the order of keys.
    let before = write(
        &store,
        vec![put("/p", "1"), put("/p0", "1"), put("/o", "1")],
    )
    .await?;
    let holds = try_write(&store, not_after(0), vec![put("/p/a", "1")]).await?;
    let first = holds.ok_or(ConformanceError::Violation(
        "a prefix without keys was not modified".to_owned(),
    ))?;
    ensure(first > before, || "a commit moves the revision".to_owned())?;
    let refused = try_write(&store, not_after(before), vec![put("/n", "1")]).await?;
    ensure_eq("a write after the revision", refused, None)?;
    let second = try_write(&store, not_after(first), vec![put("/p/b", "1")]).await?;
    let second = second.unwrap_or_default();
    ensure(second > first, || {
        "a write at the revision is none after it".to_owned()
    })?;
    let refused = try_write(&store, not_after(first), vec![put("/n", "1")]).await?;
    ensure_eq("a write of one of several keys", refused, None)?;
    let deleted = write(&store, vec![delete("/p/b")]).await?;
    let held = try_write(&store, not_after(first), vec![put("/n", "1")]).await?;
    ensure(held.is_some_and(|at| at > deleted), || {
        "a deletion is no write".to_owned()
    })
}

/// Eight writers increment a counter twenty times each.
pub(super) async fn contention(store: StoreUnderTest) -> Result<(), ConformanceError> {
    write(&store, vec![put("/n", "0")]).await?;
    let writers = (0..8).map(|_| add(store.clone(), 20));
    for result in futures_util::future::join_all(writers).await {
        result?;
    }
    let sum = ("/n".to_owned(), "160".to_owned());
    ensure_eq(
        "160 guarded additions",
        pairs(&store, "/n").await?,
        vec![sum],
    )
}

async fn add(store: StoreUnderTest, times: u32) -> Result<(), ConformanceError> {
    let mut left = times;
    while left > 0 {
        let (entries, _) = list_all(&store, "/n", 1, None).await?;
        let Some(entry) = entries.into_iter().next() else {
            return Err(ConformanceError::Timeout("the counter"));
        };
        let count: u32 = String::from_utf8_lossy(&entry.value)
            .parse()
            .unwrap_or_default();
        let guard = TxnCompare::ModRevision("/n".to_owned(), entry.mod_revision);
        let next = put("/n", &(count + 1).to_string());
        if try_write(&store, vec![guard], vec![next]).await?.is_some() {
            left -= 1;
        }
    }
    Ok(())
}

pub(super) async fn nothing(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let before = write(&store, vec![put("/a", "1")]).await?;
    let after = write(&store, vec![delete("/never-there")]).await?;
    ensure_eq("deleting what is not there", after, before)?;
    let empty = write(&store, Vec::new()).await?;
    ensure_eq("an empty transaction", empty, before)?;
    let rewritten = write(&store, vec![put("/a", "1")]).await?;
    ensure(rewritten > before, || {
        "writing the same value is a write".to_owned()
    })
}

pub(super) async fn refusals(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let large = WriteOp::Put {
        key: "/k".to_owned(),
        value: vec![0; MAX_VALUE_BYTES + 1],
        lease: None,
    };
    let many = (0..=MAX_TXN_OPS)
        .map(|n| put(&format!("/{n}"), ""))
        .collect();
    let cases = [
        ("a value beyond the limit", vec![large]),
        ("too many writes", many),
        ("a key written twice", vec![put("/k", "1"), delete("/k")]),
        ("an empty key", vec![put("", "1")]),
        ("a key with a space", vec![put("/a b", "1")]),
    ];
    for (what, writes) in cases {
        let guards = Vec::new();
        let refused = store
            .commit(Txn {
                compares: guards,
                writes,
            })
            .await;
        ensure(
            matches!(refused, Err(StoreError::InvalidRequest(_))),
            || format!("{what} is refused, but the answer was {refused:?}"),
        )?;
    }
    let pages = store.list("/", None, 0, None).await;
    ensure(matches!(pages, Err(StoreError::InvalidRequest(_))), || {
        "a page of none is refused".to_owned()
    })?;
    ensure_eq(
        "nothing of it was written",
        pairs(&store, "/").await?,
        Vec::new(),
    )
}

pub(super) async fn values(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let everything: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_VALUE_BYTES).collect();
    for value in [Vec::new(), vec![0], everything] {
        let wrote = WriteOp::Put {
            key: "/v".to_owned(),
            value: value.clone(),
            lease: None,
        };
        write(&store, vec![wrote]).await?;
        let (entries, _) = list_all(&store, "/v", 1, None).await?;
        let read = entries.first().map(|entry| entry.value == value);
        ensure_eq("a value comes back as it was", read, Some(true))?;
    }
    Ok(())
}
