//! Checks of leases. Every store grants leases of two seconds and more.

use std::time::Duration;

use toolgate_control_core::port::{Lease, StoreError, Txn, WriteOp};

use super::{
    ConformanceError, StoreUnderTest, ensure, ensure_eq, events_until, format_event, pairs, put,
    write,
};

const TTL: u64 = 2;

fn put_under(lease: Lease, key: &str) -> WriteOp {
    WriteOp::Put {
        key: key.to_owned(),
        value: b"x".to_vec(),
        lease: Some(lease),
    }
}

pub(super) async fn expiry(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let lease = store.grant_lease(TTL).await?;
    let keys = vec![
        put_under(lease, "/l/a"),
        put_under(lease, "/l/b"),
        put("/l/free", "x"),
    ];
    let written = write(&store, keys).await?;
    // A key that is written again without the lease is detached from it.
    write(&store, vec![put_under(lease, "/l/c")]).await?;
    let detached = write(&store, vec![put("/l/c", "y")]).await?;
    let mut watcher = store.watch("/l/", detached + 1).await?;
    let events = events_until(&mut watcher, written + 1).await?;
    let mut told: Vec<String> = events.iter().map(format_event).collect();
    told.sort();
    let keys: Vec<&str> = told.iter().filter_map(|it| it.split('@').next()).collect();
    ensure_eq(
        "deletions of an expired lease",
        keys,
        vec!["-/l/a", "-/l/b"],
    )?;
    let left = [("/l/c", "y"), ("/l/free", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    ensure_eq("what is left", pairs(&store, "/l/").await?, left.to_vec())?;
    lost(
        "keeping an expired lease alive",
        store.keep_alive(lease).await,
    )?;
    let guards = Vec::new();
    let writes = vec![put_under(lease, "/l/late")];
    lost(
        "writing under it",
        store
            .commit(Txn {
                compares: guards,
                writes,
            })
            .await
            .map(drop),
    )
}

pub(super) async fn kept_alive(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let lease = store.grant_lease(TTL).await?;
    write(&store, vec![put_under(lease, "/m/a")]).await?;
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        store.keep_alive(lease).await?;
    }
    ensure_eq("a lease kept alive", pairs(&store, "/m/").await?.len(), 1)?;
    Ok(store.revoke_lease(lease).await?)
}

pub(super) async fn revoked(store: StoreUnderTest) -> Result<(), ConformanceError> {
    let lease = store.grant_lease(600).await?;
    let written = write(&store, vec![put_under(lease, "/r/a")]).await?;
    let mut watcher = store.watch("/r/", written + 1).await?;
    store.revoke_lease(lease).await?;
    ensure_eq(
        "what a revoked lease held",
        pairs(&store, "/r/").await?,
        Vec::new(),
    )?;
    let events = events_until(&mut watcher, written + 1).await?;
    ensure_eq("its deletions are told", events.len(), 1)?;
    lost("revoking it again", store.revoke_lease(lease).await)
}

fn lost(what: &str, is: Result<(), StoreError>) -> Result<(), ConformanceError> {
    ensure(is == Err(StoreError::LeaseNotFound), || {
        format!("{what} says that the lease is lost, but the answer was {is:?}")
    })
}
