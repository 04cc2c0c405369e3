//! A closed-loop load generator: every worker has its own connection and sends its next request
//! when the answer to the last one is there. Every answer is checked.

mod connection;
mod idle;
mod record;
mod work;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use connection::Target;

/// What a worker does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Calls `echo` with so many characters of text.
    Echo(usize),
    /// Calls `big` for so many bytes.
    Big(usize),
    /// Lists the tools, first page only.
    List,
    /// Opens a legacy session, calls `echo`, ends the session.
    Cycle,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is measured.
    pub target: Target,
    /// What is done.
    pub work: Work,
    /// Workers, each with its own connection and session.
    pub connections: usize,
    /// Load before measuring.
    pub warmup: Duration,
    /// Measured time.
    pub time: Duration,
    /// The process whose CPU time and memory count, with its children.
    pub process: Option<u32>,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Finished and right.
    pub done: u64,
    /// Operations per second.
    pub rate: f64,
    /// Failed or wrong.
    pub errors: u64,
    /// The first failure in words.
    pub error: Option<String>,
    /// Microseconds of CPU time of the watched process per operation.
    pub cpu: f64,
    /// Median in microseconds.
    pub p50: f64,
    /// 99th percentile in microseconds.
    pub p99: f64,
    /// Resident memory under load, KiB.
    pub memory: u64,
    /// Memory per idle session, KiB.
    pub per_session: Option<f64>,
    /// Bytes of an answer.
    pub bytes: u64,
}

/// Runs load. Must be called inside a `LocalSet`.
pub async fn run(plan: Plan) -> Result<Report> {
    work::run(Rc::new(plan)).await
}

/// Opens legacy sessions and holds them; see [`Report::per_session`]. Must be called inside a
/// `LocalSet`.
pub async fn idle(target: Target, process: u32, count: usize, streams: bool) -> Result<Report> {
    idle::run(target, process, count, streams).await
}
