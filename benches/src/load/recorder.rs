//! Recorder of the results of all workers of a run.

use std::time::{Duration, Instant};

use super::LoadReport;
use crate::clock;

/// Results of a run. Only operations that start and end inside the measured window count.
pub(super) struct LoadRecorder {
    from: Instant,
    until: Instant,
    /// Latencies in tenths of a microsecond.
    latencies: Vec<u32>,
    bytes: u64,
    errors: u64,
    error: Option<String>,
}

impl LoadRecorder {
    pub(super) fn new(warmup: Duration, time: Duration) -> Self {
        let from = clock::now() + warmup;
        let until = from + time;
        Self {
            from,
            until,
            latencies: Vec::new(),
            bytes: 0,
            errors: 0,
            error: None,
        }
    }

    pub(super) fn window(&self) -> (Instant, Instant) {
        (self.from, self.until)
    }

    pub(super) fn add(&mut self, start: Instant, outcome: anyhow::Result<usize>) {
        let end = clock::now();
        if start < self.from || end > self.until {
            return;
        }
        match outcome {
            Ok(bytes) => {
                let tenths = (end - start).as_nanos() / 100;
                self.latencies
                    .push(u32::try_from(tenths).unwrap_or(u32::MAX));
                self.bytes += bytes as u64;
            }
            Err(error) => {
                self.errors += 1;
                self.error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Returns the report without the figures of the measured process.
    pub(super) fn report(&mut self) -> LoadReport {
        self.latencies.sort_unstable();
        let done = self.done();
        let quantile = |share: f64| {
            let at = (self.latencies.len() as f64 * share) as usize;
            let at = at.min(self.latencies.len().saturating_sub(1));
            self.latencies
                .get(at)
                .map_or(0.0, |tenths| f64::from(*tenths) / 10.0)
        };
        LoadReport {
            done,
            rate: done as f64 / (self.until - self.from).as_secs_f64(),
            errors: self.errors,
            error: self.error.clone(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            bytes: self.bytes.checked_div(done).unwrap_or(0),
            ..LoadReport::default()
        }
    }
}
