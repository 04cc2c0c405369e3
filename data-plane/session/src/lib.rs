//! Stateful part of the data plane, mostly actors.
//!
//! [`SessionRegistry`] holds the sessions of legacy clients, [`UpstreamSessionRegistry`] the proxy's sessions with
//! legacy servers, [`SubscriptionRegistry`] and [`ChangeFeeds`] the subscriptions of clients and the feeds that serve
//! them. Further modules hold suspended calls, open server requests and calls in flight.
//!
//! State that requests need is read without a mailbox. Messages carry changes, and the only payloads among them are
//! notifications.

mod gather;
mod graves;
mod inflight;
mod link;
mod links;
mod listener;
mod listeners;
mod news;
mod parked;
mod parking;
mod questions;
mod session;
mod sessions;
mod shard;
mod shares;
mod stream;
mod subscription;
mod subscriptions;
mod watches;

pub use graves::{TOMBSTONES, TOMBSTONES_PER_PRINCIPAL};
pub use inflight::{IN_FLIGHT, IN_FLIGHT_PER_PRINCIPAL, InFlight, InFlightGuard, TakeBack};
pub use links::{LINKS, LINKS_PER_PRINCIPAL, Links};
pub use listeners::{Interest, LISTENERS, LISTENERS_PER_PRINCIPAL, Listeners};
pub use parking::{PARKED, PARKED_PER_PRINCIPAL, Parking};
pub use questions::{Asked, Heard, QUESTIONS, QUESTIONS_PER_PRINCIPAL, Questions};
pub use session::{GATHER, IDLE, KEEP_ALIVE, REST};
pub use sessions::{SESSIONS, SESSIONS_PER_PRINCIPAL, Sessions, Subject};
pub use shares::Shares;
pub use stream::{EventStream, STREAM_QUEUE};
pub use subscriptions::{SUBSCRIPTIONS, SUBSCRIPTIONS_PER_PRINCIPAL, Subscriptions, Wanted};

#[cfg(test)]
mod fixture;
