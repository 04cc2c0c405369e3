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
mod argument_shapes;
mod batches;
mod client;
mod endpoints;
mod era_pairs;
mod fake_feeds;
mod fake_logging;
mod fake_polling;
mod fake_server_requests;
mod fault_plan;
mod faults;
mod hostile;
mod ids;
mod invalid_requests;
mod list_changes;
mod log_levels;
mod loops;
mod meta;
mod panics;
mod personal_credentials;
mod principals;
mod progressive;
mod prompts_and_resources;
mod rate_limits;
mod relayed_requests;
mod resource_subscriptions;
mod rig;
mod server;
mod server_requests;
mod sessions;
mod shared_sessions;
mod stream_resumption;
mod suspended_calls;
mod tasks;
mod timeouts;
mod url_elicitation;
