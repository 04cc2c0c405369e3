//! Benchmarks: a fast MCP server, a pass-through proxy, a closed-loop load generator, and a runner that compares them
//! with the gateway in one interleaved run.

pub mod body;
pub mod clock;
pub mod fixture;
pub mod load;
pub mod passthrough;
pub mod process;
pub mod table;
pub mod upstream;
pub mod usage;

use std::future::Future;

/// Runs `work` on a runtime with `threads` workers; one or zero selects a current-thread runtime.
pub fn run<F: Future>(threads: usize, work: F) -> std::io::Result<F::Output> {
    let mut builder = if threads <= 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    };
    Ok(builder.enable_all().build()?.block_on(work))
}
