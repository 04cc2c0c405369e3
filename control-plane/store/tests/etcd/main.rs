//! The etcd adapter against real etcd: every promise of a store, and what happens when members fail. Without an
//! `etcd` binary these tests fail; they do not skip.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set up its cluster has failed"
)]

mod cluster;
mod doors;
mod faults;
mod promises;
