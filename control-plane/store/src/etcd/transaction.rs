//! Converts transactions to etcd transactions.

use etcd_client::{Compare, CompareOp, PutOptions, Txn as EtcdTxn, TxnOp};
use toolgate_control_core::port::{Guard, StoreError, Txn, Write};

use super::{keys::Namespace, revision_to_etcd};

pub(super) fn build(namespace: &Namespace, txn: Txn) -> Result<EtcdTxn, StoreError> {
    let compare = |guard: Guard| match guard {
        Guard::Absent(key) => {
            let key = namespace.key(&key);
            Ok(Compare::create_revision(key, CompareOp::Equal, 0))
        }
        Guard::Modified(key, at) => {
            let key = namespace.key(&key);
            Ok(Compare::mod_revision(
                key,
                CompareOp::Equal,
                revision_to_etcd(at)?,
            ))
        }
    };
    let operation = |write: Write| match write {
        Write::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(namespace.key(&key), value, options)
        }
        Write::Delete(key) => TxnOp::delete(namespace.key(&key), None),
    };
    let compares: Result<Vec<Compare>, StoreError> = txn.guards.into_iter().map(compare).collect();
    let operations: Vec<TxnOp> = txn.writes.into_iter().map(operation).collect();
    Ok(EtcdTxn::new().when(compares?).and_then(operations))
}
