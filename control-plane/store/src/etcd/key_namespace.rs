//! Maps keys to etcd keys in a namespace.

use toolgate_control_core::port::StoreError;

use crate::request;

#[cfg(test)]
mod tests;

/// Prefix of all keys.
#[derive(Debug, Clone)]
pub(super) struct KeyNamespace(String);

impl KeyNamespace {
    pub(super) fn new(text: &str) -> Result<Self, StoreError> {
        let text = text.trim_end_matches('/');
        if !text.is_empty() {
            request::check_key(text)?;
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.0).into_bytes()
    }

    /// Returns the key without the namespace; `None` for a key outside of the namespace. Invalid UTF-8 is replaced:
    /// the reader of the key detects that it is not valid.
    pub(super) fn strip(&self, key: &[u8]) -> Option<String> {
        let key = String::from_utf8_lossy(key);
        key.strip_prefix(&self.0).map(str::to_owned)
    }

    /// Returns the start and the exclusive end of the range under `prefix` after the key `after`.
    pub(super) fn range(&self, prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
        let first = self.key(prefix);
        let mut start = first.clone();
        if let Some(after) = after {
            let mut next = self.key(after);
            next.push(0);
            start = start.max(next);
        }
        let end = prefix_end(first);
        if start.is_empty() {
            start.push(0);
        }
        (start, end)
    }
}

/// Returns the first key after all keys that start with `prefix`; a zero byte, which means the end of the key
/// space, if there is none.
fn prefix_end(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return prefix;
        }
        prefix.pop();
    }
    vec![0]
}
