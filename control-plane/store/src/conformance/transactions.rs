//! Checks of transactions.

use toolgate_control_core::port::{Guard, MAX_OPERATIONS, MAX_VALUE, StoreError, Txn, Write};

use super::{Broken, Subject, all, delete, ensure, guarded, pairs, put, same, write};

pub(super) async fn all_or_nothing(store: Subject) -> Result<(), Broken> {
    let first = write(&store, vec![put("/a", "1"), put("/b", "1")]).await?;
    let stale = Guard::Modified("/b".to_owned(), first - 1);
    let failed = guarded(&store, vec![stale], vec![put("/a", "2"), delete("/b")]).await?;
    same("a commit whose guard does not hold", failed, None)?;
    let kept = [("/a", "1"), ("/b", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    same(
        "the store after it",
        pairs(&store, "/").await?,
        kept.to_vec(),
    )?;

    let held = Guard::Modified("/b".to_owned(), first);
    let done = guarded(&store, vec![held], vec![put("/a", "2"), delete("/b")]).await?;
    ensure(done.is_some_and(|at| at > first), || {
        "a commit moves the revision".to_owned()
    })?;
    let (entries, revision) = all(&store, "/", 10, None).await?;
    let modified: Vec<u64> = entries.iter().map(|entry| entry.modified).collect();
    same(
        "what one commit wrote has its revision",
        modified,
        done.into_iter().collect(),
    )?;
    ensure(Some(revision) >= done, || {
        "a listing after a commit shows it".to_owned()
    })
}

pub(super) async fn guards(store: Subject) -> Result<(), Broken> {
    let absent = || vec![Guard::Absent("/k".to_owned())];
    let created = guarded(&store, absent(), vec![put("/k", "1")]).await?;
    ensure(created.is_some(), || {
        "absent holds for an absent key".to_owned()
    })?;
    let again = guarded(&store, absent(), vec![put("/k", "2")]).await?;
    same("absent does not hold for a present key", again, None)?;

    let at = |revision| vec![Guard::Modified("/k".to_owned(), revision)];
    let first = created.unwrap_or_default();
    let updated = guarded(&store, at(first), vec![put("/k", "3")])
        .await?
        .unwrap_or_default();
    ensure(updated > first, || {
        "modified holds for the last write".to_owned()
    })?;
    let stale = guarded(&store, at(first), vec![put("/k", "4")]).await?;
    same("modified does not hold for an older write", stale, None)?;

    write(&store, vec![delete("/k")]).await?;
    let gone = guarded(&store, at(updated), vec![put("/k", "5")]).await?;
    same("modified does not hold for a deleted key", gone, None)?;
    let reborn = guarded(&store, absent(), vec![put("/k", "6")]).await?;
    ensure(reborn.is_some(), || {
        "absent holds for a deleted key".to_owned()
    })
}

/// Eight writers increment a counter twenty times each.
pub(super) async fn contention(store: Subject) -> Result<(), Broken> {
    write(&store, vec![put("/n", "0")]).await?;
    let writers = (0..8).map(|_| add(store.clone(), 20));
    for result in futures_util::future::join_all(writers).await {
        result?;
    }
    let sum = ("/n".to_owned(), "160".to_owned());
    same(
        "160 guarded additions",
        pairs(&store, "/n").await?,
        vec![sum],
    )
}

async fn add(store: Subject, times: u32) -> Result<(), Broken> {
    let mut left = times;
    while left > 0 {
        let (entries, _) = all(&store, "/n", 1, None).await?;
        let Some(entry) = entries.into_iter().next() else {
            return Err(Broken::InVain("the counter"));
        };
        let count: u32 = String::from_utf8_lossy(&entry.value)
            .parse()
            .unwrap_or_default();
        let guard = Guard::Modified("/n".to_owned(), entry.modified);
        let next = put("/n", &(count + 1).to_string());
        if guarded(&store, vec![guard], vec![next]).await?.is_some() {
            left -= 1;
        }
    }
    Ok(())
}

pub(super) async fn nothing(store: Subject) -> Result<(), Broken> {
    let before = write(&store, vec![put("/a", "1")]).await?;
    let after = write(&store, vec![delete("/never-there")]).await?;
    same("deleting what is not there", after, before)?;
    let empty = write(&store, Vec::new()).await?;
    same("an empty transaction", empty, before)?;
    let rewritten = write(&store, vec![put("/a", "1")]).await?;
    ensure(rewritten > before, || {
        "writing the same value is a write".to_owned()
    })
}

pub(super) async fn refusals(store: Subject) -> Result<(), Broken> {
    let large = Write::Put {
        key: "/k".to_owned(),
        value: vec![0; MAX_VALUE + 1],
        lease: None,
    };
    let many = (0..=MAX_OPERATIONS)
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
        let refused = store.commit(Txn { guards, writes }).await;
        ensure(matches!(refused, Err(StoreError::Refused(_))), || {
            format!("{what} is refused, but the answer was {refused:?}")
        })?;
    }
    let pages = store.list("/", None, 0, None).await;
    ensure(matches!(pages, Err(StoreError::Refused(_))), || {
        "a page of none is refused".to_owned()
    })?;
    same(
        "nothing of it was written",
        pairs(&store, "/").await?,
        Vec::new(),
    )
}

pub(super) async fn values(store: Subject) -> Result<(), Broken> {
    let everything: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_VALUE).collect();
    for value in [Vec::new(), vec![0], everything] {
        let wrote = Write::Put {
            key: "/v".to_owned(),
            value: value.clone(),
            lease: None,
        };
        write(&store, vec![wrote]).await?;
        let (entries, _) = all(&store, "/v", 1, None).await?;
        let read = entries.first().map(|entry| entry.value == value);
        same("a value comes back as it was", read, Some(true))?;
    }
    Ok(())
}
