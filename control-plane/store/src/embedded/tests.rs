//! Tests of the automatic bound on history.

use toolgate_control_core::port::{Store, StoreError, Txn, TxnOutcome, WriteOp};
use toolgate_runtime::clock;

use super::EmbeddedStore;

#[tokio::test]
async fn old_history_is_compacted_while_writing() {
    let store = EmbeddedStore::with_history(clock::system(), 50).unwrap();
    let mut last = 0;
    for n in 0..300_u32 {
        let write = WriteOp::Put {
            key: "/k".to_owned(),
            value: n.to_be_bytes().to_vec(),
            lease: None,
        };
        let guards = Vec::new();
        let writes = vec![write];
        match store
            .commit(Txn {
                compares: guards,
                writes,
            })
            .await
            .unwrap()
        {
            TxnOutcome::Committed(revision) => last = revision,
            TxnOutcome::CompareFailed => panic!("there was no guard"),
        }
    }
    let behind = store.watch("/", last - 100).await.map(drop);
    assert!(
        matches!(behind, Err(StoreError::Compacted(_))),
        "{behind:?}"
    );
    let mut near = store.watch("/", last - 49).await.unwrap();
    assert_eq!(near.next().await.unwrap().events.len(), 50);
    let past = store.list("/", None, 1, Some(last - 10)).await.unwrap();
    assert_eq!(past.entries[0].value, 289_u32.to_be_bytes());
}
