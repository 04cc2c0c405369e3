//! Calls of servers: `shared/client` with a circuit and a bulkhead per server, credentials, our own ids, deadlines, and
//! the rule that a tool is never run twice. What it says when a call came to nothing is short and tells nothing of the
//! server.

mod call;
pub mod circuit;
mod failure;
mod finish;
mod flight;
pub mod link;
mod station;
mod stream;
mod upstream;

pub use call::{Answered, Calls, Order, Waiter};
pub use link::Network;
pub use stream::CallStream;
pub use upstream::{Upstream, UpstreamOptions};
