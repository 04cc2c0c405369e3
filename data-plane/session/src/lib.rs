//! The actors that remember: [`Sessions`] of legacy clients with us, [`Links`] of ours with legacy servers, and what
//! is [`InFlight`]. Facts are read without a mailbox; a mailbox is for changes, and no payload passes through one but
//! notices that nobody asked for.

mod graves;
mod inflight;
mod link;
mod links;
mod session;
mod sessions;
mod shard;
mod stream;
mod subscription;
mod subscriptions;
mod tally;

pub use graves::{TOMBSTONES, TOMBSTONES_PER_PRINCIPAL};
pub use inflight::{IN_FLIGHT, InFlight, InFlightGuard};
pub use links::{LINKS, Links};
pub use session::{IDLE, KEEP_ALIVE, SETTLE};
pub use sessions::{PER_PRINCIPAL, SESSIONS, Sessions, Subject};
pub use stream::{EventStream, STREAM_QUEUE};
pub use subscriptions::{SUBSCRIPTIONS, SUBSCRIPTIONS_PER_PRINCIPAL, Subscriptions, Wanted};

#[cfg(test)]
mod fixture;
