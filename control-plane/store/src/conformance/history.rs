//! Checks of compaction.

use toolgate_control_core::port::{Revision, StoreError};

use super::{
    ConformanceError, StoreUnderTest, delete, ensure, ensure_eq, events_until, format_event, next,
    pairs, put, write,
};

pub(super) async fn compaction(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let one = write(&store, vec![put("/k/a", "1"), put("/k/b", "1")]).await?;
    let mut running = store.watch("/k/", one).await?;
    events_until(&mut running, one).await?;
    write(&store, vec![put("/k/a", "2"), put("/k/c", "2")]).await?;
    write(&store, vec![delete("/k/b")]).await?;
    let gone = write(&store, vec![put("/k/a", "3")]).await?;
    let kept = write(&store, vec![put("/k/d", "4")]).await?;
    store.compact(gone).await?;

    let past = store.list("/k/", None, 10, Some(one)).await;
    compacted("a listing of compacted history", past.map(drop), gone)?;
    compacted(
        "a watch of compacted history",
        start(&store, one).await,
        gone,
    )?;

    let should = [("/k/a", "3"), ("/k/c", "2"), ("/k/d", "4")];
    let should = should.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    ensure_eq("the present", pairs(&store, "/k/").await?, should)?;
    let mut after = store.watch("/k/", gone + 1).await?;
    let is: Vec<String> = events_until(&mut after, kept)
        .await?
        .iter()
        .map(format_event)
        .collect();
    ensure_eq("what came after", is, vec![format!("/k/d=4@{kept}")])
}

/// Returns the error of a watch from `from`, either from its start or from its first batch.
async fn start(store: &StoreUnderTest, from: Revision) -> Result<(), StoreError> {
    let mut watcher = store.watch("/k/", from).await?;
    match next(&mut watcher).await {
        Ok(_) | Err(ConformanceError::Violation(_) | ConformanceError::Timeout(_)) => Ok(()),
        Err(ConformanceError::Store(error)) => Err(error),
    }
}

fn compacted(
    what: &str,
    is: Result<(), StoreError>,
    gone: Revision,
) -> Result<(), ConformanceError> {
    let matches = matches!(is, Err(StoreError::Compacted(at)) if at >= gone || at == 0);
    ensure(matches, || {
        format!("{what} says so, but the answer was {is:?}")
    })
}

pub(super) async fn repeated_compactions(store: StoreUnderTest) -> Result<(), ConformanceError> {
    write(&store, vec![put("/o", "1")]).await?;
    let two = write(&store, vec![put("/o", "2")]).await?;
    store.compact(two).await?;
    store.compact(two).await?;
    store.compact(two - 1).await?;
    let future = store.compact(two + 1_000_000).await;
    ensure(matches!(future, Err(StoreError::InvalidRequest(_))), || {
        format!("compacting the future is refused, but the answer was {future:?}")
    })?;
    let should = vec![("/o".to_owned(), "2".to_owned())];
    ensure_eq("the present", pairs(&store, "/o").await?, should)
}
