//! Closed-loop load generator: each worker has its own connection and sends its next request after the previous
//! response. Every response is checked.

mod connection;
mod idle;
mod recorder;
mod worker;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use connection::LoadTarget;

/// Operation repeated by each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOperation {
    /// Calls `echo` with this many characters of text.
    Echo(usize),
    /// Calls `big` for this many bytes.
    Big(usize),
    /// Lists the tools, first page only.
    List,
    /// Opens a legacy session, calls `echo`, closes the session.
    Cycle,
}

/// Plan of one measurement.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Endpoint to measure.
    pub target: LoadTarget,
    /// Operation of the workers.
    pub work: LoadOperation,
    /// Number of workers, each with its own connection and session.
    pub connections: usize,
    /// Duration of load before the measurement.
    pub warmup: Duration,
    /// Duration of the measurement.
    pub time: Duration,
    /// Process whose CPU time and memory are measured, with its children.
    pub process: Option<u32>,
}

/// Result of one measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// Number of successful operations.
    pub done: u64,
    /// Operations per second.
    pub rate: f64,
    /// Number of failed operations or wrong responses.
    pub errors: u64,
    /// Message of the first failure.
    pub error: Option<String>,
    /// CPU time of the measured process per operation, in microseconds.
    pub cpu: f64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// 99th percentile of the latency in microseconds.
    pub p99: f64,
    /// Resident memory under load, in KiB.
    pub memory: u64,
    /// Memory per idle session, in KiB.
    pub per_session: Option<f64>,
    /// Mean size of a response in bytes.
    pub bytes: u64,
}

/// Runs a measurement. Must be called inside a `LocalSet`.
pub async fn run(plan: LoadPlan) -> Result<LoadReport> {
    worker::run(Rc::new(plan)).await
}

/// Opens legacy sessions and holds them; see [`LoadReport::per_session`]. Must be called inside a `LocalSet`.
pub async fn idle(
    target: LoadTarget,
    process: u32,
    count: usize,
    streams: bool,
) -> Result<LoadReport> {
    idle::run(target, process, count, streams).await
}
