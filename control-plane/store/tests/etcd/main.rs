//! Tests of the etcd store against real etcd: the conformance suite, and failures of members. Without an `etcd`
//! binary the tests fail; they are not skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set up its cluster has failed"
)]

mod access_control;
mod cluster;
mod conformance_suite;
mod faults;
