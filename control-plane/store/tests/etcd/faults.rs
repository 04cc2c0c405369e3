//! Tests with members that are frozen, stopped, without quorum or full.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use toolgate_control_core::port::{
    Revision, Store as _, StoreError, StoreEvent, StoreWatcher, Txn, TxnOutcome, WriteOp,
};
use toolgate_runtime::clock::{self, Clock as _};
use toolgate_store::{EtcdOptions, EtcdStore};

use crate::cluster::{EtcdCluster, HANG_GUARD, until_available, within};

/// Promised time to fail over; asserted by `make drill`. Every run asserts that it happens while the member is frozen, dead or
/// without quorum: a store that waits for the member hangs.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);
/// Promised age of what is read or watched while a follower is frozen; asserted by `make drill`.
const STALENESS: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWERED_WITHIN: Duration = Duration::from_millis(2_500);
const TOLD_WITHIN: Duration = Duration::from_secs(10);

async fn put(store: &EtcdStore, key: &str, size: usize) -> Result<Revision, StoreError> {
    let write = WriteOp::Put {
        key: key.to_owned(),
        value: vec![b'x'; size],
        lease: None,
    };
    let guards = Vec::new();
    let writes = vec![write];
    match store
        .commit(Txn {
            compares: guards,
            writes,
        })
        .await?
    {
        TxnOutcome::Committed(revision) => Ok(revision),
        TxnOutcome::CompareFailed => panic!("there was no guard"),
    }
}

async fn put_in_time(store: &EtcdStore, key: &str) -> Revision {
    let trying = until_available(|| put(store, key, 1));
    timeout(within(WRITE_TIMEOUT), trying)
        .await
        .expect("writes go on within five seconds")
        .expect("nothing but a fault of the cluster fails the write")
}

/// Writes a first entry, before any fault.
async fn put_before(store: &EtcdStore) -> Revision {
    until_available(|| put(store, "/before", 1)).await.unwrap()
}

/// Reads events until `key` is written. Watches again from the last revision seen after an error, as the owner of a
/// watch does.
async fn wait_for_key(
    store: &EtcdStore,
    watcher: &mut Box<dyn StoreWatcher>,
    mut seen: Revision,
    key: &str,
) {
    loop {
        match watcher.next().await {
            Ok(batch) => {
                seen = batch.revision;
                let is_key =
                    |event: &StoreEvent| matches!(event, StoreEvent::Put(it) if it.key == key);
                if batch.events.iter().any(is_key) {
                    return;
                }
            }
            Err(_) => {
                while let Err(_again) = store.watch("/", seen + 1).await.map(|new| *watcher = new) {
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_member_is_left_within_15_seconds_without_missed_events() {
    let cluster = EtcdCluster::start(3, &[]).await;
    let watching = cluster.store_at(&[0, 1, 2], "");
    let seen = put_before(&watching).await;
    let mut watcher = watching.watch("/", seen + 1).await.unwrap();
    cluster.freeze(0);
    put_in_time(&cluster.store_at(&[1, 2], ""), "/meanwhile").await;
    let start = clock::SystemClock.monotonic();
    let told = wait_for_key(&watching, &mut watcher, seen, "/meanwhile");
    timeout(within(FAILOVER_TIMEOUT), told)
        .await
        .expect("the frozen member is left");
    println!("left the frozen member after {:?}", start.elapsed());
    put_in_time(&watching, "/after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_answered_by_another_member_while_one_is_frozen() {
    let cluster = EtcdCluster::start(3, &[]).await;
    let order = cluster.followers_first().await;
    let store = cluster.store_at(&order, "");
    let other = cluster.store_at(&order[1..], "");
    put_before(&store).await;
    cluster.freeze(order[0]);
    put_in_time(&other, "/meanwhile").await;
    let start = clock::SystemClock.monotonic();
    let page = timeout(within(STALENESS), store.list("/", None, 10, None));
    let page = page.await.expect("no hang");
    let page = page.expect("a frozen member fails no read");
    println!("read beside the frozen member after {:?}", start.elapsed());
    let is_fresh = page.entries.iter().any(|entry| entry.key == "/meanwhile");
    assert!(is_fresh, "{page:?}");
    let written = put(&store, "/after", 1).await;
    written.expect("the member that answered is used from then on");
}

/// Counts the TCP connections to the port of `url`, including closed ones in TIME_WAIT.
fn connections_to(url: &str) -> usize {
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    let rows = table.lines().skip(1);
    rows.filter_map(|row| row.split_ascii_whitespace().nth(2))
        .filter(|address| address.ends_with(&remote))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_beside_a_frozen_member_open_few_connections() {
    const READS: usize = 200;
    let cluster = EtcdCluster::start(3, &[]).await;
    let order = cluster.followers_first().await;
    let store = cluster.store_at(&order, "");
    put_before(&store).await;
    cluster.freeze(order[0]);
    let before = connections_to(cluster.url(order[1]));
    let reads = (0..READS).map(|_| store.list("/", None, 10, None));
    let pages = timeout(HANG_GUARD, futures_util::future::join_all(reads));
    for page in pages.await.expect("no hang") {
        page.expect("a frozen member fails no read");
    }
    let opened = connections_to(cluster.url(order[1])) - before;
    assert!(opened < READS / 4, "{opened} connections for {READS} reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_leaves_a_frozen_member_before_anything_else_asks_it() {
    let cluster = EtcdCluster::start(3, &[]).await;
    let order = cluster.followers_first().await;
    let store = cluster.store_at(&order, "");
    let seen = put_before(&store).await;
    let mut watcher = store.watch("/", seen + 1).await.unwrap();
    cluster.freeze(order[0]);
    let start = clock::SystemClock.monotonic();
    let silent = timeout(within(STALENESS), watcher.next()).await;
    let error = silent.expect("the silence of the member is noticed");
    println!("noticed the frozen member after {:?}", start.elapsed());
    assert!(
        matches!(error, Err(StoreError::Unavailable(_))),
        "{error:?}"
    );
    let written = put(&store, "/after", 1).await;
    let revision = written.expect("calls use another member since the watch has failed");
    let mut watcher = store.watch("/", seen + 1).await.unwrap();
    let told = wait_for_key(&store, &mut watcher, revision - 1, "/after");
    timeout(within(STALENESS), told)
        .await
        .expect("the watch goes on at another member");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watch_on_a_healthy_member_stays_open() {
    let cluster = EtcdCluster::start(1, &[]).await;
    let store = cluster.store("");
    let seen = put_before(&store).await;
    let mut watcher = store.watch("/", seen + 1).await.unwrap();
    let quiet = timeout(Duration::from_secs(14), watcher.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    put(&store, "/k", 1).await.unwrap();
    assert_eq!(watcher.next().await.unwrap().events.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_replaced() {
    let mut cluster = EtcdCluster::start(3, &[]).await;
    let store = cluster.store_at(&[0, 1, 2], "");
    let seen = put_before(&store).await;
    let mut watcher = store.watch("/", seen + 1).await.unwrap();
    cluster.kill(0);
    put_in_time(&store, "/after").await;
    let told = wait_for_key(&store, &mut watcher, seen, "/after");
    timeout(within(WRITE_TIMEOUT), told)
        .await
        .expect("the watch goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_quorum_writes_fail_fast_and_watches_report_it() {
    let mut cluster = EtcdCluster::start(3, &[]).await;
    let store = cluster.store_at(&[0, 1, 2], "");
    let seen = put_before(&store).await;
    let mut watcher = store.watch("/", seen + 1).await.unwrap();
    cluster.kill(1);
    cluster.kill(2);
    let failed = timeout(within(ANSWERED_WITHIN), put(&store, "/never", 1)).await;
    let failed = failed.expect("a write without quorum is answered within two seconds");
    assert!(
        matches!(failed, Err(StoreError::Unavailable(_))),
        "{failed:?}"
    );
    let silent = timeout(within(TOLD_WITHIN), watcher.next()).await;
    let error = silent.expect("a watch without quorum fails within ten seconds");
    assert!(
        matches!(error, Err(StoreError::Unavailable(_))),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_reported_and_still_allows_reads_and_deletes() {
    let cluster = EtcdCluster::start(1, &["--quota-backend-bytes", "4194304"]).await;
    let store = cluster.store("");
    let full = async {
        loop {
            match put(&store, "/big", 200_000).await {
                Ok(_) | Err(StoreError::Unavailable(_)) => {}
                Err(other) => return other,
            }
        }
    };
    let full = timeout(HANG_GUARD, full).await.expect("four MiB fill up");
    assert!(matches!(full, StoreError::NoSpace(_)), "{full:?}");
    assert_eq!(
        store.list("/", None, 10, None).await.unwrap().entries.len(),
        1
    );
    let delete = Txn {
        compares: Vec::new(),
        writes: vec![WriteOp::Delete("/big".to_owned())],
    };
    store.commit(delete).await.unwrap();
}

/// Fills the store with entries that stay. Returns the number of entries.
async fn fill(store: &EtcdStore) -> usize {
    let filling = async {
        let mut count = 0;
        loop {
            let key = format!("/live/{count}");
            match until_available(|| put(store, &key, 200_000)).await {
                Ok(_) => count += 1,
                Err(StoreError::NoSpace(_)) => return count,
                Err(other) => panic!("{other}"),
            }
            // etcd measures itself every 100 ms.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANG_GUARD, filling).await.expect("it fills up")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_full_of_live_entries_takes_writes_again_after_its_reserve_is_given_up() {
    let quota = 16 * 1024 * 1024;
    let options = EtcdOptions {
        quota: Some(quota),
        ..EtcdOptions::default()
    };
    let extra = ["--quota-backend-bytes", &quota.to_string()];
    let cluster = EtcdCluster::start_as("http", options, 3, &extra).await;
    let store = cluster.store("/deployment");
    until_available(|| store.set_reserve_aside()).await.unwrap();
    let empty = until_available(|| store.space()).await.unwrap();
    assert!(!empty.is_full && empty.quota == quota, "{empty:?}");
    let count = fill(&store).await;
    let full = until_available(|| store.space()).await.unwrap();
    assert!(full.is_full && full.percent() > 90, "{full:?}");
    let refused = until_available(|| put(&store, "/revocation", 200)).await;
    assert!(
        matches!(refused, Err(StoreError::NoSpace(_))),
        "{refused:?}"
    );
    until_available(|| store.reclaim(true)).await.unwrap();
    for n in 0..20 {
        let key = format!("/revocation/{n}");
        until_available(|| put(&store, &key, 200)).await.unwrap();
    }
    let after = until_available(|| store.space()).await.unwrap();
    assert!(!after.is_full && after.used < quota, "{after:?}");
    let mut found = 0;
    let mut last: Option<String> = None;
    loop {
        let page = until_available(|| store.list("/live/", last.as_deref(), 60, None));
        let page = page.await.unwrap();
        found += page.entries.len();
        last = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            break;
        }
    }
    assert!(found >= count, "{found} of {count} are left");
}

#[tokio::test]
async fn unreachable_endpoints_fail_within_two_seconds() {
    let options = EtcdOptions {
        endpoints: vec![
            "http://127.0.0.1:1".to_owned(),
            "http://127.0.0.1:2".to_owned(),
        ],
        ..EtcdOptions::default()
    };
    let store = Arc::new(EtcdStore::new(options).unwrap());
    let deadline = within(ANSWERED_WITHIN);
    let listed = timeout(deadline, store.list("/", None, 1, None))
        .await
        .unwrap();
    assert!(
        matches!(listed, Err(StoreError::Unavailable(_))),
        "{listed:?}"
    );
    let watched = timeout(deadline, store.watch("/", 1))
        .await
        .unwrap()
        .map(drop);
    assert!(
        matches!(watched, Err(StoreError::Unavailable(_))),
        "{watched:?}"
    );
}

#[test]
fn invalid_options_are_rejected_immediately() {
    for endpoints in [vec![], vec!["etcd:2379".to_owned()]] {
        let options = EtcdOptions {
            endpoints,
            ..EtcdOptions::default()
        };
        assert!(matches!(
            EtcdStore::new(options),
            Err(StoreError::InvalidRequest(_))
        ));
    }
}
