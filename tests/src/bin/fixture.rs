//! The fixture upstream as a program: prints its address as the first line, then serves.

use std::io::Write as _;
use std::net::Ipv4Addr;

use clap::Parser;
use tokio::net::TcpListener;
use toolgate_tests::fixture::{Options, serve};

/// An MCP server that tests can believe.
#[derive(Parser)]
struct Arguments {
    /// Port on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Speak up to 2025-11-25 only.
    #[arg(long, conflicts_with = "modern_only")]
    legacy_only: bool,
    /// Speak 2026-07-28 only.
    #[arg(long)]
    modern_only: bool,
    /// Answer as an event stream even where one JSON object would do.
    #[arg(long)]
    sse: bool,
    /// So many more tools.
    #[arg(long, default_value_t = 0)]
    filler: usize,
    /// After how many seconds a legacy client may take the stream of a call up again; 0 for never.
    #[arg(long, default_value_t = 3)]
    retry: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let options = Options {
        legacy_only: arguments.legacy_only,
        modern_only: arguments.modern_only,
        sse: arguments.sse,
        filler: arguments.filler,
        retry: Some(arguments.retry).filter(|seconds| *seconds > 0),
    };
    serve(listener, options).await
}
