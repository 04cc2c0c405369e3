//! The upstream of the benchmarks as a program.

use std::net::SocketAddr;

use clap::Parser;
use toolgate_benches::upstream::{Options, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fast MCP server to stand behind what is measured.
#[derive(Parser)]
struct Arguments {
    /// First address.
    #[arg(long)]
    listen: SocketAddr,
    /// How many servers, on consecutive ports.
    #[arg(long, default_value_t = 1)]
    count: u16,
    /// Tools that each of them lists.
    #[arg(long, default_value_t = 2)]
    tools: usize,
    /// Speak up to 2025-11-25 only.
    #[arg(long)]
    legacy: bool,
}

fn main() -> anyhow::Result<()> {
    let given = Arguments::parse();
    let options = Options {
        tools: given.tools,
        legacy: given.legacy,
    };
    toolgate_benches::run(1, serve(given.listen, given.count, options))?
}
