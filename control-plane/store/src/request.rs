//! Validation of requests and conversion of pages, shared by all stores.

use std::collections::BTreeSet;

use toolgate_control_core::port::{
    KeyRevision, KeyValue, MAX_KEY_BYTES, MAX_TXN_OPS, MAX_VALUE_BYTES, StoreError, StoreKeyPage,
    StorePage, Txn, TxnCompare, WriteOp,
};

#[cfg(test)]
mod tests;

/// Rejects transactions that can never be committed.
pub(crate) fn check(txn: &Txn) -> Result<(), StoreError> {
    let operations = txn.compares.len().max(txn.writes.len());
    if operations > MAX_TXN_OPS {
        return refused(format!(
            "{operations} operations are more than {MAX_TXN_OPS}"
        ));
    }
    for guard in &txn.compares {
        match guard {
            TxnCompare::Absent(key)
            | TxnCompare::ModRevision(key, _)
            | TxnCompare::ModRevisionAtLeast(key, _)
            | TxnCompare::NotModifiedAfter { prefix: key, .. } => check_key(key)?,
        }
    }
    let mut written = BTreeSet::new();
    for write in &txn.writes {
        let key = match write {
            WriteOp::Put { key, value, .. } => {
                if value.len() > MAX_VALUE_BYTES {
                    let size = value.len();
                    return refused(format!(
                        "{size} bytes at {key} are more than {MAX_VALUE_BYTES}"
                    ));
                }
                key
            }
            WriteOp::Delete(key) => key,
        };
        check_key(key)?;
        if !written.insert(key) {
            return refused(format!("{key} is written twice"));
        }
    }
    Ok(())
}

/// Rejects invalid keys.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.bytes().all(|c| c.is_ascii_graphic()) {
        return refused(format!(
            "a key has 1 to {MAX_KEY_BYTES} visible ASCII characters"
        ));
    }
    Ok(())
}

/// Rejects a page limit of zero.
pub(crate) fn check_limit(limit: usize) -> Result<(), StoreError> {
    if limit == 0 {
        return refused("a page has room for at least one entry".to_owned());
    }
    Ok(())
}

/// Returns the keys of a page.
pub(crate) fn keys_of(page: StorePage) -> StoreKeyPage {
    let key = |entry: KeyValue| KeyRevision {
        key: entry.key,
        mod_revision: entry.mod_revision,
    };
    StoreKeyPage {
        keys: page.entries.into_iter().map(key).collect(),
        revision: page.revision,
        more: page.more,
    }
}

fn refused<T>(reason: String) -> Result<T, StoreError> {
    Err(StoreError::InvalidRequest(reason))
}
