//! Runs the conformance suite against redb in memory and in a file, and tests the handling of the file.

use std::{path::Path, sync::Arc};

use toolgate_control_core::port::{Store, StoreError, Txn, TxnOutcome, WriteOp};
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

/// Returns the entries of a store and its latest changes, or the error of the start.
async fn content(path: &Path) -> Result<Result<String, StoreOpenError>, StoreError> {
    let store = match EmbeddedStore::open(path, clock::system()) {
        Ok(store) => store,
        Err(error) => return Ok(Err(error)),
    };
    let page = store.list("/", None, 1000, None).await?;
    let before = page.revision - 20;
    let history = store.list("/", None, 1000, Some(before)).await?;
    let changes = store.watch("/", before).await?.next().await?;
    Ok(Ok(format!("{page:?} {history:?} {changes:?}")))
}

/// Returns a source of numbers below a bound (splitmix64), which `seed` determines.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = (mixed ^ (mixed >> 31)) >> 32;
        usize::try_from(number).unwrap_or_default() % below
    }
}

/// Damages the file at many places. Without a check at the start, most of them panic or go unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_file_with_damaged_pages_is_refused_with_the_next_step_or_served_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    {
        let store = EmbeddedStore::open(&path, clock::system()).unwrap();
        for n in 0..200_u32 {
            let value = vec![u8::try_from(n % 251).unwrap(); 50 + usize::try_from(n * 7).unwrap()];
            let write = WriteOp::Put {
                key: format!("/k{}", n % 60),
                value,
                lease: None,
            };
            let txn = Txn {
                compares: Vec::new(),
                writes: vec![write],
            };
            store.commit(txn).await.unwrap();
        }
    }
    let intact = std::fs::read(&path).unwrap();
    let expected = content(&path).await.unwrap().unwrap();
    let seed: u64 = std::env::var("TOOLGATE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(toolgate_runtime::random::number);
    println!("seed {seed}");
    let mut number = numbers(seed);
    let damaged = folder.path().join("damaged.redb");
    let (mut refused, mut served) = (0, 0);
    for _ in 0..150 {
        let mut bytes = intact.clone();
        let start = number(bytes.len());
        let length = [1, 16, 512, 4096][number(4)].min(bytes.len() - start);
        let fill = [0, 0xff, 0x55][number(3)];
        for byte in &mut bytes[start..start + length] {
            *byte ^= fill | 1;
        }
        std::fs::write(&damaged, &bytes).unwrap();
        match content(&damaged).await.unwrap() {
            Ok(content) => {
                assert_eq!(content, expected, "{length} bytes at {start}");
                served += 1;
            }
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("damaged.redb"), "{told}");
                let is_header = start < 4096;
                assert!(
                    is_header || told.contains("--new-epoch"),
                    "{length} bytes at {start}: {told}"
                );
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {served} served from pages that are in use no more");
    assert!(refused > 0 && served > 0);
}
