//! State machine of the push session with one connected proxy: an event and the current time go in, actions come
//! out. One update is in flight at a time, and the latest snapshot replaces earlier ones, so nothing queues for a
//! slow proxy. An update contains the resources that the proxy lacks by digest. A resource that the proxy rejected
//! is not sent again until it changes.
//!
//! ```text
//! awaiting hello --Hello--> idle --SnapshotReady--> in flight --Ack/Nack--> idle
//!     |                      ^___________________________________________|
//!     +--timeout--> closed <--timeout, wrong nonce, disconnect--- any
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use toolgate_model::{
    ClockReading, Delta, Digest, ProxyStatus, ResourceKey, ResourceRejection, ServerHealth, Slug,
    Snapshot, SnapshotEntries, Timestamp, Version,
};

mod fleet_share;
mod step;
#[cfg(test)]
mod tests;

pub use fleet_share::{FleetShareTracker, SHRINK_DELAY, serving_proxies};

/// Time limit for the hello of a proxy.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the response to an update.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which the status of a connected proxy is recorded.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

/// Minimum interval between two records of a status whose observations change: every record is a write to the store.
pub const OBSERVATION_INTERVAL: Duration = Duration::from_secs(5);

/// Age of a status record after which the proxy counts as disconnected, regardless of its content: its control plane
/// has ended without recording the disconnect.
pub const STALE_AFTER: Duration = Duration::from_secs(90);

/// Returns `true` if the recorded proxy has a push stream at `now`.
pub fn is_connected(proxy: &ProxyStatus, now: Timestamp) -> bool {
    proxy.connected && now.since(proxy.last_seen) <= STALE_AFTER
}

/// Input of a push session.
#[derive(Debug, Clone)]
pub enum PushEvent {
    /// The proxy sent its hello.
    Hello(PushHello),
    /// A new snapshot is available.
    SnapshotReady(Arc<Snapshot>),
    /// The proxy accepted an update completely.
    Ack {
        /// Nonce of the update.
        nonce: u64,
    },
    /// The proxy accepted an update except for some resources.
    Nack {
        /// Nonce of the update.
        nonce: u64,
        /// Rejected resources.
        rejected: Vec<ResourceRejection>,
    },
    /// The proxy reported what it observes.
    Report(PushReport),
    /// Time has passed. Sent at the time of [`PushAction::WakeAt`] or at any other time.
    Tick,
    /// The stream has ended.
    Disconnected,
}

/// Introduction of a proxy at the start of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushHello {
    /// Proxy id.
    pub id: Slug,
    /// Region of the proxy.
    pub region: String,
    /// Program version.
    pub build: String,
    /// Address that clients reach the proxy at.
    pub listen: String,
    /// Start time of the process.
    pub started: Timestamp,
    /// Start of the latest recorded stream of the proxy; zero if none is recorded.
    pub latest_stream: Timestamp,
    /// Snapshot version that the proxy holds; zero if none.
    pub held: Version,
    /// Digests of the resources that the proxy holds.
    pub resources: BTreeMap<ResourceKey, Digest>,
}

/// Observations of a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Clock of the proxy as compared with that of this control plane; `None` if the report does not tell.
    pub clock: Option<ClockReading>,
    /// Servers whose health has changed, with times of this control plane's clock.
    pub servers: Vec<ServerHealth>,
    /// True if `servers` replaces what was reported before.
    pub replaces_servers: bool,
}

/// Action that the caller of a push session executes.
#[derive(Debug, Clone, PartialEq)]
pub enum PushAction {
    /// Sends an update to the proxy.
    Send {
        /// Resources that the proxy lacks.
        delta: Delta,
        /// Nonce that the response must repeat.
        nonce: u64,
    },
    /// Stores the status of the proxy for operators. Never an input of compile.
    RecordProxy(ProxyStatus),
    /// Requests a [`PushEvent::Tick`] at this time. Replaces earlier requests.
    WakeAt(Timestamp),
    /// Closes the stream. Nothing follows.
    Close(PushCloseReason),
}

/// Reason why a session was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushCloseReason {
    /// The proxy sent no hello in time, or sent two.
    #[error("a stream starts with one Hello, within ten seconds")]
    NoHello,
    /// The proxy did not respond to an update in time.
    #[error("the last update was not answered in time")]
    AckTimeout,
    /// The response carries a nonce that is not in flight.
    #[error("the answer carries a nonce that is not in flight")]
    WrongNonce,
    /// The proxy ended the stream.
    #[error("the proxy has gone")]
    Disconnected,
}

/// Push session. Create one per stream and pass it all events of the stream in order.
#[derive(Debug)]
pub struct PushSession {
    phase: SessionPhase,
    target: Option<Arc<Snapshot>>,
    last_nonce: u64,
}

#[derive(Debug)]
enum SessionPhase {
    AwaitingHello { until: Timestamp },
    Open(Box<ConnectedProxy>),
    Closed,
}

#[derive(Debug)]
struct ConnectedProxy {
    proxy: ProxyStatus,
    /// Digests of the resources that the proxy holds: acknowledged, and not rejected.
    holds: BTreeMap<ResourceKey, Digest>,
    /// Rejected resources with the digest and the reason.
    rejected: BTreeMap<ResourceKey, (Digest, String)>,
    /// Entries that the proxy was compared with last: what it lacks of them was sent to it, or is rejected.
    compared: Option<SnapshotEntries>,
    /// Number of entries compared so far.
    comparisons: u64,
    in_flight: Option<InFlightUpdate>,
    /// Time of the last status record.
    last_recorded: Timestamp,
    /// True if observations changed since the last status record.
    has_news: bool,
}

#[derive(Debug)]
struct InFlightUpdate {
    nonce: u64,
    delta: Delta,
    deadline: Timestamp,
}

impl PushSession {
    /// Creates a session that waits for a hello.
    pub fn new(now: Timestamp) -> Self {
        Self {
            phase: SessionPhase::AwaitingHello {
                until: now.after(HELLO_TIMEOUT),
            },
            target: None,
            last_nonce: 0,
        }
    }

    /// Processes `event` at time `now` and returns the resulting actions.
    #[must_use]
    pub fn step(&mut self, event: PushEvent, now: Timestamp) -> Vec<PushAction> {
        self.handle(event, now)
    }

    /// Returns `true` if the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, SessionPhase::Closed)
    }

    /// Returns the digests of the resources that the proxy holds; `None` before the hello and after the end.
    pub fn holds(&self) -> Option<&BTreeMap<ResourceKey, Digest>> {
        match &self.phase {
            SessionPhase::Open(open) => Some(&open.holds),
            SessionPhase::AwaitingHello { .. } | SessionPhase::Closed => None,
        }
    }

    /// Returns the number of entries that were compared with the entries of the proxy: only the entries that were written
    /// since the previous snapshot are compared.
    pub fn comparisons(&self) -> u64 {
        match &self.phase {
            SessionPhase::Open(open) => open.comparisons,
            SessionPhase::AwaitingHello { .. } | SessionPhase::Closed => 0,
        }
    }

    /// Returns the current status of the proxy; `None` before the hello and after the end.
    pub fn proxy(&self) -> Option<&ProxyStatus> {
        match &self.phase {
            SessionPhase::Open(open) => Some(&open.proxy),
            SessionPhase::AwaitingHello { .. } | SessionPhase::Closed => None,
        }
    }
}
