//! End-to-end tests of the data plane over real sockets: clients of both eras, servers of both eras, one listener
//! between.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests say what they expect"
)]

mod apps;
mod asks;
mod batches;
mod cells;
mod changes;
mod client;
mod conduct;
mod faults;
mod feeds;
mod hostile;
mod ids;
mod levels;
mod logs;
mod meta;
mod polled;
mod progressive;
mod questions;
mod relayed;
mod rest;
mod resumed;
mod rig;
mod server;
mod sessions;
mod shapes;
mod shared;
mod standstills;
mod tasks;
mod visits;
mod watching;
