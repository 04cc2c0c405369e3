//! Converts transactions to etcd transactions.

use etcd_client::{Compare, CompareOp, PutOptions, Txn as EtcdTxn, TxnOp};
use toolgate_control_core::port::{StoreError, Txn, TxnCompare, WriteOp};

use super::{key_namespace::KeyNamespace, revision_to_etcd};

pub(super) fn build(namespace: &KeyNamespace, txn: Txn) -> Result<EtcdTxn, StoreError> {
    let compare = |guard: TxnCompare| match guard {
        TxnCompare::Absent(key) => {
            let key = namespace.key(&key);
            Ok(Compare::create_revision(key, CompareOp::Equal, 0))
        }
        TxnCompare::ModRevision(key, at) => {
            let key = namespace.key(&key);
            Ok(Compare::mod_revision(
                key,
                CompareOp::Equal,
                revision_to_etcd(at)?,
            ))
        }
        TxnCompare::ModRevisionAtLeast(key, at) => {
            let key = namespace.key(&key);
            // A key that does not exist has revision 0.
            let before = revision_to_etcd(at.saturating_sub(1))?;
            Ok(Compare::mod_revision(key, CompareOp::Greater, before))
        }
        TxnCompare::NotModifiedAfter { prefix, revision } => {
            let (start, end) = namespace.range(&prefix, None);
            let later = revision_to_etcd(revision.saturating_add(1))?;
            Ok(Compare::mod_revision(start, CompareOp::Less, later).with_range(end))
        }
    };
    let operation = |write: WriteOp| match write {
        WriteOp::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(namespace.key(&key), value, options)
        }
        WriteOp::Delete(key) => TxnOp::delete(namespace.key(&key), None),
    };
    let compares: Result<Vec<Compare>, StoreError> =
        txn.compares.into_iter().map(compare).collect();
    let operations: Vec<TxnOp> = txn.writes.into_iter().map(operation).collect();
    Ok(EtcdTxn::new().when(compares?).and_then(operations))
}
