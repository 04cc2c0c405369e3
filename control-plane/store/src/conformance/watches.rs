//! Checks of watches.

use std::collections::BTreeMap;

use super::{
    ConformanceError, StoreUnderTest, delete, ensure, ensure_eq, event_revision, events_until,
    format_event, next, put, write,
};

pub(super) async fn everything(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let start = write(&store, vec![put("/w/first", "0")]).await?;
    let mut watcher = store.watch("/w/", start + 1).await?;
    let mut should = Vec::new();
    for n in 0..50 {
        let at = write(&store, vec![put(&format!("/w/{}", n % 7), &n.to_string())]).await?;
        should.push(format!("/w/{}={n}@{at}", n % 7));
        write(&store, vec![put("/other", "x")]).await?;
    }
    let at = write(&store, vec![delete("/w/3")]).await?;
    should.push(format!("-/w/3@{at}"));
    let is: Vec<String> = events_until(&mut watcher, at)
        .await?
        .iter()
        .map(format_event)
        .collect();
    ensure_eq("events", is, should)
}

pub(super) async fn past(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let one = write(&store, vec![put("/h/a", "1")]).await?;
    let two = write(&store, vec![put("/h/a", "2")]).await?;
    let three = write(&store, vec![delete("/h/a")]).await?;
    let four = write(&store, vec![put("/h/a", "4")]).await?;
    let all = [
        format!("/h/a=1@{one}"),
        format!("/h/a=2@{two}"),
        format!("-/h/a@{three}"),
        format!("/h/a=4@{four}"),
    ];
    for (skipped, from) in [one, two, three, four].into_iter().enumerate() {
        let mut watcher = store.watch("/h/", from).await?;
        let is: Vec<String> = events_until(&mut watcher, four)
            .await?
            .iter()
            .map(format_event)
            .collect();
        ensure_eq(
            "events from the past",
            is,
            all.iter().skip(skipped).cloned().collect(),
        )?;
    }
    Ok(())
}

pub(super) async fn whole_commits(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let start = write(&store, vec![put("/c", "")]).await?;
    let mut late = store.watch("/c/", start + 1).await?;
    let mut last = start;
    for n in 0..30 {
        let writes = (0..40)
            .map(|key| put(&format!("/c/{key:02}"), &n.to_string()))
            .collect();
        last = write(&store, writes).await?;
    }
    let mut early = store.watch("/c/", start + 1).await?;
    for watcher in [&mut late, &mut early] {
        let mut seen = start;
        while seen < last {
            let batch = next(watcher).await?;
            let mut counts = BTreeMap::<u64, usize>::new();
            for event in &batch.events {
                *counts.entry(event_revision(event)).or_default() += 1;
            }
            let whole = counts.values().all(|count| *count == 40);
            ensure(whole, || {
                format!("a batch holds part of a commit: {counts:?}")
            })?;
            let sorted = batch.events.is_sorted_by_key(event_revision);
            ensure(sorted, || {
                "events come in the order of their revisions".to_owned()
            })?;
            let newest = counts.keys().max().copied().unwrap_or(seen);
            ensure(batch.revision >= newest, || {
                "a batch covers what it holds".to_owned()
            })?;
            seen = newest.max(seen);
        }
    }
    Ok(())
}

pub(super) async fn several(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let start = write(&store, vec![put("/s", "")]).await?;
    let mut idle = store.watch("/s/never/", start + 1).await?;
    let mut dropped = store.watch("/s/a", start + 1).await?;
    let mut kept = store.watch("/s/a", start + 1).await?;
    let one = write(&store, vec![put("/s/a", "1")]).await?;
    events_until(&mut dropped, one).await?;
    drop(dropped);
    let two = write(&store, vec![put("/s/a", "2")]).await?;
    let is: Vec<String> = events_until(&mut kept, two)
        .await?
        .iter()
        .map(format_event)
        .collect();
    ensure_eq(
        "the other watch",
        is,
        vec![format!("/s/a=1@{one}"), format!("/s/a=2@{two}")],
    )?;
    let quiet = std::time::Duration::from_millis(300);
    match tokio::time::timeout(quiet, idle.next()).await {
        Err(_elapsed) => Ok(()),
        Ok(batch) => ensure_eq("a watch of what never changes", batch?.events.len(), 0),
    }
}
