//! Runs one measurement from the command line and prints the report as JSON.

use std::io::Write as _;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::task::LocalSet;
use toolgate_benches::load::{self, LoadOperation, LoadPlan, LoadReport, LoadTarget};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, ValueEnum)]
enum LoadMode {
    Echo,
    Big,
    List,
    Cycle,
    Idle,
    Streams,
}

/// Closed-loop load on one MCP endpoint.
#[derive(Parser)]
struct LoadArgs {
    /// Operation of the workers.
    mode: LoadMode,
    /// URL of the endpoint.
    #[arg(long)]
    url: String,
    /// Bearer token.
    #[arg(long, default_value = "")]
    token: String,
    /// Speak 2026-07-28.
    #[arg(long)]
    modern: bool,
    /// Workers, each with its own connection.
    #[arg(long, short, default_value_t = 16)]
    connections: usize,
    /// Measured seconds.
    #[arg(long, short, default_value_t = 3.0)]
    seconds: f64,
    /// Load before measuring, in seconds.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Process id to measure.
    #[arg(long)]
    pid: Option<u32>,
    /// Characters or bytes of a response, or number of idle sessions.
    #[arg(long, default_value_t = 32)]
    size: usize,
}

async fn run(given: LoadArgs) -> anyhow::Result<LoadReport> {
    let target = LoadTarget::new(&given.url, &given.token, given.modern)?;
    let work = match given.mode {
        LoadMode::Echo => LoadOperation::Echo(given.size),
        LoadMode::Big => LoadOperation::Big(given.size),
        LoadMode::List => LoadOperation::List,
        LoadMode::Cycle => LoadOperation::Cycle,
        LoadMode::Idle | LoadMode::Streams => {
            let streams = matches!(given.mode, LoadMode::Streams);
            let process = given.pid.unwrap_or_default();
            return load::idle(target, process, given.size, streams).await;
        }
    };
    let plan = LoadPlan {
        target,
        work,
        connections: given.connections,
        warmup: Duration::from_secs_f64(given.warmup),
        time: Duration::from_secs_f64(given.seconds),
        process: given.pid,
    };
    load::run(plan).await
}

fn main() -> anyhow::Result<()> {
    let given = LoadArgs::parse();
    let local = LocalSet::new();
    let report = toolgate_benches::run(1, local.run_until(run(given)))??;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}
