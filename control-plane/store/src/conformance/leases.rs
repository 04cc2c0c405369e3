//! Checks of leases. Every store grants leases of two seconds and more.

use std::time::Duration;

use toolgate_control_core::port::{Lease, StoreError, Txn, Write};

use super::{Broken, Subject, ensure, pairs, put, same, told, until, write};

const TTL: u64 = 2;

fn put_under(lease: Lease, key: &str) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: b"x".to_vec(),
        lease: Some(lease),
    }
}

pub(super) async fn expiry(store: Subject) -> Result<(), Broken> {
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
    let events = until(&mut watcher, written + 1).await?;
    let mut told: Vec<String> = events.iter().map(told).collect();
    told.sort();
    let keys: Vec<&str> = told.iter().filter_map(|it| it.split('@').next()).collect();
    same(
        "deletions of an expired lease",
        keys,
        vec!["-/l/a", "-/l/b"],
    )?;
    let left = [("/l/c", "y"), ("/l/free", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    same("what is left", pairs(&store, "/l/").await?, left.to_vec())?;
    lost(
        "keeping an expired lease alive",
        store.keep_alive(lease).await,
    )?;
    let guards = Vec::new();
    let writes = vec![put_under(lease, "/l/late")];
    lost(
        "writing under it",
        store.commit(Txn { guards, writes }).await.map(drop),
    )
}

pub(super) async fn kept_alive(store: Subject) -> Result<(), Broken> {
    let lease = store.grant_lease(TTL).await?;
    write(&store, vec![put_under(lease, "/m/a")]).await?;
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        store.keep_alive(lease).await?;
    }
    same("a lease kept alive", pairs(&store, "/m/").await?.len(), 1)?;
    Ok(store.revoke_lease(lease).await?)
}

pub(super) async fn revoked(store: Subject) -> Result<(), Broken> {
    let lease = store.grant_lease(600).await?;
    let written = write(&store, vec![put_under(lease, "/r/a")]).await?;
    let mut watcher = store.watch("/r/", written + 1).await?;
    store.revoke_lease(lease).await?;
    same(
        "what a revoked lease held",
        pairs(&store, "/r/").await?,
        Vec::new(),
    )?;
    let events = until(&mut watcher, written + 1).await?;
    same("its deletions are told", events.len(), 1)?;
    lost("revoking it again", store.revoke_lease(lease).await)
}

fn lost(what: &str, is: Result<(), StoreError>) -> Result<(), Broken> {
    ensure(is == Err(StoreError::LeaseLost), || {
        format!("{what} says that the lease is lost, but the answer was {is:?}")
    })
}
