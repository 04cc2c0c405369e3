//! Keys within etcd: ours, with the namespace before them.

use toolgate_control_core::port::StoreError;

use crate::request;

#[cfg(test)]
mod tests;

/// What stands before every key.
#[derive(Debug, Clone)]
pub(super) struct Namespace(String);

impl Namespace {
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

    /// Our key in an etcd key; none if it is not in the namespace. A key that is not text is kept as far as it is:
    /// whoever reads it will find that it is none of ours.
    pub(super) fn strip(&self, key: &[u8]) -> Option<String> {
        let key = String::from_utf8_lossy(key);
        key.strip_prefix(&self.0).map(str::to_owned)
    }

    /// Start and end (excluded) of the keys under `prefix` that come after `after`.
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

/// The first key after all that start with `prefix`; a zero byte, which means the end of everything, if there is
/// none.
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
