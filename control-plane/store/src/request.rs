//! Validation of requests, shared by all stores.

use std::collections::BTreeSet;

use toolgate_control_core::port::{
    Guard, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, StoreError, Txn, Write,
};

#[cfg(test)]
mod tests;

/// Rejects transactions that can never be committed.
pub(crate) fn check(txn: &Txn) -> Result<(), StoreError> {
    let operations = txn.guards.len().max(txn.writes.len());
    if operations > MAX_OPERATIONS {
        return refused(format!(
            "{operations} operations are more than {MAX_OPERATIONS}"
        ));
    }
    for guard in &txn.guards {
        match guard {
            Guard::Absent(key) | Guard::Modified(key, _) => check_key(key)?,
        }
    }
    let mut written = BTreeSet::new();
    for write in &txn.writes {
        let key = match write {
            Write::Put { key, value, .. } => {
                if value.len() > MAX_VALUE {
                    let size = value.len();
                    return refused(format!("{size} bytes at {key} are more than {MAX_VALUE}"));
                }
                key
            }
            Write::Delete(key) => key,
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
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|c| c.is_ascii_graphic()) {
        return refused(format!("a key has 1 to {MAX_KEY} visible ASCII characters"));
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

fn refused<T>(why: String) -> Result<T, StoreError> {
    Err(StoreError::Refused(why))
}
