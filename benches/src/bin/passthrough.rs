//! Command line of the pass-through proxy.

use std::net::SocketAddr;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reverse proxy on hyper that only forwards.
#[derive(Parser)]
struct PassthroughArgs {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Address of the upstream server.
    #[arg(long)]
    upstream: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let given = PassthroughArgs::parse();
    let work = toolgate_benches::passthrough::serve(given.listen, given.upstream);
    toolgate_benches::run(given.threads, work)?
}
