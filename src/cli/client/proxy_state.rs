//! State of a proxy as its record tells it: its connection, and the version that it has acknowledged.

use std::fmt;

use serde_json::Value;

/// State of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyState {
    /// Connected, with the latest version.
    InSync,
    /// Connected, with an earlier version.
    Behind,
    /// Connected, with a later version than its control plane has: the store was restored from an older copy, or is another
    /// one.
    Ahead,
    /// Connected, and parts of the version are refused.
    Refusing,
    /// Not connected.
    Away,
}

/// Next step for a proxy that is ahead of the store.
pub const NEW_EPOCH_STEP: &str = "check `--etcd`, `--etcd-prefix` and `--data-dir` of the control planes; if the store is the right one, start one \
     control plane once with `--new-epoch`";

impl ProxyState {
    /// Returns the state of a proxy.
    pub fn of(proxy: &Value) -> Self {
        let refusals = proxy["refusals"].as_array();
        let (wanted, acked) = (version(proxy, "wanted"), version(proxy, "acked"));
        if proxy["connected"] != true {
            Self::Away
        } else if acked > wanted {
            Self::Ahead
        } else if refusals.is_some_and(|list| !list.is_empty()) {
            Self::Refusing
        } else if acked == wanted {
            Self::InSync
        } else {
            Self::Behind
        }
    }
}

/// Returns epoch and revision of a version of a proxy, by which versions are ordered.
fn version(proxy: &Value, name: &str) -> (u64, u64) {
    let part = |part: &str| {
        let number = proxy[name][part].as_str();
        let number = number.and_then(|number| number.parse::<u64>().ok());
        number.unwrap_or_default()
    };
    (part("epoch"), part("revision"))
}

impl fmt::Display for ProxyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tables align the word.
        f.pad(match self {
            Self::InSync => "in sync",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Refusing => "refusing",
            Self::Away => "away",
        })
    }
}

#[cfg(test)]
mod tests;
