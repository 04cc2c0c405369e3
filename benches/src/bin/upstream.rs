//! Command line of the benchmark's MCP server.

use std::net::SocketAddr;

use clap::Parser;
use toolgate_benches::upstream::{BenchServerOptions, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fast MCP server used as the upstream of the measured proxies.
#[derive(Parser)]
struct UpstreamArgs {
    /// Address of the first server.
    #[arg(long)]
    listen: SocketAddr,
    /// Number of servers, on consecutive ports.
    #[arg(long, default_value_t = 1)]
    count: u16,
    /// Number of tools listed by each server.
    #[arg(long, default_value_t = 2)]
    tools: usize,
    /// Speak up to 2025-11-25 only.
    #[arg(long)]
    legacy: bool,
}

fn main() -> anyhow::Result<()> {
    let given = UpstreamArgs::parse();
    let options = BenchServerOptions {
        tools: given.tools,
        legacy: given.legacy,
    };
    toolgate_benches::run(1, serve(given.listen, given.count, options))?
}
