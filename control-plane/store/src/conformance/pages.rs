//! Checks of listings.

use super::{ConformanceError, StoreUnderTest, delete, ensure_eq, list_all, pairs, put, write};

pub(super) async fn order(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let keys = ["/b", "/a/z", "/a", "/a/b/c", "/a-b", "/A", "/a0"];
    for key in keys {
        write(&store, vec![put(key, "")]).await?;
    }
    let mut sorted = keys.map(str::to_owned).to_vec();
    sorted.sort();
    for limit in [1, 2, 3, 100] {
        let (entries, _) = list_all(&store, "/", limit, None).await?;
        let listed: Vec<String> = entries.into_iter().map(|entry| entry.key).collect();
        ensure_eq("keys in order", listed, sorted.clone())?;
    }
    Ok(())
}

pub(super) async fn keys(store: StoreUnderTest) -> Result<(), ConformanceError> {
    for n in 0..10 {
        write(&store, vec![put(&format!("/k/{n}"), "old")]).await?;
    }
    let then = store.list("/k/", None, 1, None).await?.revision;
    write(&store, vec![put("/k/3", "new"), delete("/k/4")]).await?;
    for at in [None, Some(then)] {
        let (entries, _) = list_all(&store, "/k/", 3, at).await?;
        let expected: Vec<_> = entries
            .into_iter()
            .map(|entry| (entry.key, entry.mod_revision))
            .collect();
        let (mut keys, mut after, mut revision) = (Vec::new(), None, at);
        loop {
            let page = store
                .list_keys("/k/", after.as_deref(), 3, revision)
                .await?;
            revision = Some(page.revision);
            let listed = page.keys.into_iter();
            keys.extend(listed.map(|entry| (entry.key, entry.mod_revision)));
            after = keys.last().map(|(key, _)| key.clone());
            if !page.more {
                break;
            }
        }
        ensure_eq("the keys of a listing", keys, expected)?;
    }
    Ok(())
}

pub(super) async fn fixed_revision(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let mut written = 0;
    for n in 0..20 {
        written = write(&store, vec![put(&format!("/p/{n:02}"), "old")]).await?;
    }
    let first = store.list("/p/", None, 7, None).await?;
    ensure_eq("the revision of a page", first.revision >= written, true)?;
    // Between two pages one key is updated, one is deleted and one is created.
    let early = write(&store, vec![put("/p/00", "new"), put("/p/15", "new")]).await?;
    write(&store, vec![delete("/p/16"), put("/p/165", "new")]).await?;
    let (then, _) = list_all(&store, "/p/", 3, Some(first.revision)).await?;
    let old = then.iter().filter(|entry| entry.value == b"old").count();
    ensure_eq("the past, as it was", (then.len(), old), (20, 20))?;

    let (between, _) = list_all(&store, "/p/", 4, Some(early)).await?;
    let new: Vec<&str> = between
        .iter()
        .filter(|it| it.value == b"new")
        .map(|it| it.key.as_str())
        .collect();
    ensure_eq("the revision between", new, vec!["/p/00", "/p/15"])?;
    ensure_eq("everything is in it", between.len(), 20)?;

    let (now, _) = list_all(&store, "/p/", 4, None).await?;
    let keys: Vec<&str> = now
        .iter()
        .skip(15)
        .map(|entry| entry.key.as_str())
        .collect();
    ensure_eq(
        "the present",
        keys,
        vec!["/p/15", "/p/165", "/p/17", "/p/18", "/p/19"],
    )
}

pub(super) async fn prefixes(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let keys = ["/v1/a", "/v1/ab", "/v1/b", "/v10", "/v2"];
    let writes = keys.map(|key| put(key, "x")).to_vec();
    write(&store, writes).await?;
    for (prefix, count) in [
        ("/v1/", 3),
        ("/v1", 4),
        ("/v1/a", 2),
        ("/v", 5),
        ("/z", 0),
        ("/", 5),
    ] {
        ensure_eq(prefix, pairs(&store, prefix).await?.len(), count)?;
    }
    let after = store.list("/v1/", Some("/v1/ab"), 10, None).await?;
    let keys: Vec<String> = after.entries.into_iter().map(|entry| entry.key).collect();
    ensure_eq("only what comes after", keys, vec!["/v1/b".to_owned()])
}
