//! Records of refused hosts: a counter, and a log line at most once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Uri, header};
use tokio::time::Instant;

use crate::metrics::{Counter, Metrics};

/// Minimum time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum length of a host in the log, in characters.
const MAX_SHOWN: usize = 128;

/// Requests of one listener that were refused because of their host.
#[derive(Debug)]
pub(super) struct HostRefusals {
    listener: &'static str,
    counter: Option<Counter>,
    log: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    last: Option<Instant>,
    /// Refusals since the last line.
    unlogged: u64,
}

impl HostRefusals {
    /// Creates records that are logged only.
    pub(super) fn new(listener: &'static str) -> Self {
        Self {
            listener,
            counter: None,
            log: Mutex::default(),
        }
    }

    /// Creates records that are logged and counted.
    pub(super) fn with_metrics(listener: &'static str, metrics: &Metrics) -> Self {
        let counter = metrics.counter(
            "toolgate.hosts.refused",
            "Requests refused because a listener does not serve their host",
            &[("listener", listener)],
        );
        Self {
            counter: Some(counter),
            ..Self::new(listener)
        }
    }

    /// Records a refused request. `setting` names the hosts that are served.
    pub(super) fn record(&self, uri: &Uri, headers: &HeaderMap, setting: &str) {
        if let Some(counter) = &self.counter {
            counter.add(1);
        }
        let Some(refused) = self.due(Instant::now()) else {
            return;
        };
        let (listener, host) = (self.listener, shown_host(uri, headers));
        tracing::warn!(
            listener,
            host,
            refused,
            "requests are refused: their host is not served by this listener; if it is one of its names, add it with `{setting}`"
        );
    }

    /// Counts a refusal. Returns the number of refusals that a line is due for.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.unlogged += 1;
        let is_early = |last: Instant| now.duration_since(last) < LOG_INTERVAL;
        if log.last.is_some_and(is_early) {
            return None;
        }
        log.last = Some(now);
        Some(std::mem::take(&mut log.unlogged))
    }
}

/// Returns the host as it was requested, safe to log.
fn shown_host(uri: &Uri, headers: &HeaderMap) -> String {
    let target = uri.authority().map(|it| it.as_str().as_bytes());
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    let host = String::from_utf8_lossy(host.or(target).unwrap_or_default());
    host.chars()
        .take(MAX_SHOWN)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests;
