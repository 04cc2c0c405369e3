//! Runs the conformance suite against redb in memory and in a file, and tests the handling of the file.

use std::sync::Arc;

use toolgate_control_core::port::{Store, Txn, TxnOutcome, WriteOp};
use toolgate_runtime::clock;
use toolgate_store::{
    EmbeddedStore, StoreOpenError,
    conformance::{self, StoreUnderTest},
};

fn put(key: &str) -> Txn {
    Txn {
        compares: Vec::new(),
        writes: vec![WriteOp::Put {
            key: key.to_owned(),
            value: b"x".to_vec(),
            lease: None,
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_passes_the_store_contract() {
    let fresh = async |_| {
        EmbeddedStore::in_memory(clock::system()).map(|it| Arc::new(it) as StoreUnderTest)
    };
    conformance::check_all(fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_store_passes_the_store_contract() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = async |name: &str| {
        let path = folder.path().join(name);
        EmbeddedStore::open(&path, clock::system()).map(|it| Arc::new(it) as StoreUnderTest)
    };
    conformance::check_all(fresh).await.unwrap();
}

#[tokio::test]
async fn the_file_store_persists_entries_revisions_and_leases() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (written, lease) = {
        let store = EmbeddedStore::open(&path, clock::system()).unwrap();
        let lease = store.grant_lease(60).await.unwrap();
        store.commit(put("/a")).await.unwrap();
        (store.commit(put("/b")).await.unwrap(), lease)
    };
    let store = EmbeddedStore::open(&path, clock::system()).unwrap();
    let page = store.list("/", None, 10, None).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    assert_eq!(TxnOutcome::Committed(page.revision), written);
    store.keep_alive(lease).await.unwrap();
    let mut watcher = store.watch("/", page.revision).await.unwrap();
    assert_eq!(watcher.next().await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_store_file_in_use_is_rejected_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _first = EmbeddedStore::open(&path, clock::system()).unwrap();
    let Err(second) = EmbeddedStore::open(&path, clock::system()) else {
        panic!("two stores share a file");
    };
    assert!(matches!(second, StoreOpenError::InUse(_)));
    assert!(
        second.to_string().contains("in use by another process"),
        "{second}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_rejected_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, b"precious").unwrap();
    assert!(EmbeddedStore::open(&path, clock::system()).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_store_file_is_accessible_only_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _store = EmbeddedStore::open(&path, clock::system()).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
