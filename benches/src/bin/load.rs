//! Runs one measurement from the command line and prints the report as JSON.

use std::io::Write as _;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::task::LocalSet;
use toolgate_benches::load::{self, Plan, Report, Target, Work};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Echo,
    Big,
    List,
    Cycle,
    Idle,
    Streams,
}

/// Closed-loop load on one MCP endpoint.
#[derive(Parser)]
struct Arguments {
    /// Operation of the workers.
    mode: Mode,
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

async fn run(given: Arguments) -> anyhow::Result<Report> {
    let target = Target::new(&given.url, &given.token, given.modern)?;
    let work = match given.mode {
        Mode::Echo => Work::Echo(given.size),
        Mode::Big => Work::Big(given.size),
        Mode::List => Work::List,
        Mode::Cycle => Work::Cycle,
        Mode::Idle | Mode::Streams => {
            let streams = matches!(given.mode, Mode::Streams);
            let process = given.pid.unwrap_or_default();
            return load::idle(target, process, given.size, streams).await;
        }
    };
    let plan = Plan {
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
    let given = Arguments::parse();
    let local = LocalSet::new();
    let report = toolgate_benches::run(1, local.run_until(run(given)))??;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}
