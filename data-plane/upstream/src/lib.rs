//! Calls of servers: `shared/client` with a circuit and a bulkhead per server, credentials, our own ids, deadlines, and
//! the rule that a tool is never run twice. What it says when a call came to nothing is short and tells nothing of the
//! server.

mod again;
mod call;
pub mod circuit;
mod dialogue;
mod ear;
mod exchange;
mod failure;
mod feed;
mod finish;
mod flight;
mod level;
pub mod link;
mod outgoing;
mod overhear;
mod refuse;
mod standstill;
mod station;
mod stream;
mod upstream;
mod visit;
mod waiter;

pub use call::{Answered, Calls, Order};
pub use feed::Feeds;
pub use link::Network;
pub use standstill::Standstill;
pub use stream::CallStream;
pub use upstream::{Upstream, UpstreamOptions};
pub use waiter::{Answers, Named, Waiter};
