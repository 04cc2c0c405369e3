//! The fixture server as a program: prints its address as the first line, then serves.

use std::io::Write as _;
use std::net::Ipv4Addr;

use clap::Parser;
use tokio::net::TcpListener;
use toolgate_tests::fixture::{FixtureOptions, serve};

/// MCP fixture server for tests.
#[derive(Parser)]
struct FixtureArguments {
    /// Port on loopback; 0 selects a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Serve versions up to 2025-11-25 only.
    #[arg(long, conflicts_with = "modern_only")]
    legacy_only: bool,
    /// Serve 2026-07-28 only.
    #[arg(long)]
    modern_only: bool,
    /// Respond with an event stream even where a JSON object is enough.
    #[arg(long)]
    sse: bool,
    /// Number of filler tools.
    #[arg(long, default_value_t = 0)]
    filler: usize,
    /// Seconds until a legacy client may resume the stream of a call; 0 disables resumption.
    #[arg(long, default_value_t = 3)]
    retry: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = FixtureArguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let options = FixtureOptions {
        legacy_only: arguments.legacy_only,
        modern_only: arguments.modern_only,
        sse: arguments.sse,
        filler: arguments.filler,
        retry: Some(arguments.retry).filter(|seconds| *seconds > 0),
    };
    serve(listener, options).await
}
