//! One connected proxy's push session, as a machine: an event and the time go in, effects come out. One update is
//! in flight at a time and the latest wanted snapshot wins, so nothing queues for a slow proxy. What is sent is what
//! the proxy lacks by digest; a resource that it refused is not sent again until it changes.
//!
//! ```text
//! greeting --Hello--> idle --Wanted--> in flight --Ack/Nack--> idle
//!     |                 ^______________________________________|
//!     +--late--> closed <--late or wrong answer, disconnect--- any
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use toolgate_model::{
    Delta, Digest, Proxy, Refusal, ResourceKey, Slug, Snapshot, Timestamp, Version,
};

mod step;
#[cfg(test)]
mod tests;

/// How long a proxy may take to introduce itself.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long a proxy may take to answer an update.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How often a proxy that merely lives is recorded.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// A proxy that nobody has recorded for so long is not connected, whatever its record says: the control plane that
/// would have known has gone before it could say so.
pub const SILENCE: Duration = Duration::from_secs(90);

/// Whether a recorded proxy has a push stream at `now`.
pub fn is_connected(proxy: &Proxy, now: Timestamp) -> bool {
    proxy.connected && now.since(proxy.last_seen) <= SILENCE
}

/// What happens to a session.
#[derive(Debug, Clone)]
pub enum Event {
    /// The proxy introduced itself.
    Hello(Hello),
    /// There is a snapshot that every proxy should have.
    Wanted(Arc<Snapshot>),
    /// The proxy took an update whole.
    Ack {
        /// Of the update.
        nonce: u64,
    },
    /// The proxy took an update but for these.
    Nack {
        /// Of the update.
        nonce: u64,
        /// What it refused.
        refused: Vec<Refusal>,
    },
    /// Time has passed: the moment of [`Output::WakeAt`], or any other.
    Tick,
    /// The stream has ended.
    Disconnected,
}

/// What a proxy says of itself when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its id.
    pub id: Slug,
    /// Where it stands.
    pub region: String,
    /// Its program version.
    pub build: String,
    /// Where clients reach it.
    pub listen: String,
    /// When it started.
    pub started: Timestamp,
    /// The version it holds already; zero for none.
    pub held: Version,
    /// What it holds of it.
    pub resources: BTreeMap<ResourceKey, Digest>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this to the proxy.
    Send {
        /// What it lacks.
        delta: Delta,
        /// To be repeated in its answer.
        nonce: u64,
    },
    /// Keep this, for operators. Never an input of compile.
    RecordProxy(Proxy),
    /// Call with [`Event::Tick`] then; replaces earlier ones.
    WakeAt(Timestamp),
    /// End the stream. Nothing follows.
    Close(Closed),
}

/// Why a session ended from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// It did not introduce itself in time, or did so twice.
    #[error("a stream starts with one Hello, within ten seconds")]
    NoHello,
    /// It did not answer an update in time.
    #[error("the last update was not answered in time")]
    NoAnswer,
    /// It answered something that was not asked.
    #[error("the answer carries a nonce that is not in flight")]
    WrongNonce,
    /// It ended the stream.
    #[error("the proxy has gone")]
    Disconnected,
}

/// A push session. Make one per stream and feed it everything that happens, in order.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    wanted: Option<Arc<Snapshot>>,
    last_nonce: u64,
}

#[derive(Debug)]
enum Phase {
    Greeting { until: Timestamp },
    Open(Box<Open>),
    Closed,
}

#[derive(Debug)]
struct Open {
    proxy: Proxy,
    /// What it holds, by its own word: what was acked, and nothing that was refused.
    holds: BTreeMap<ResourceKey, Digest>,
    /// What it refused, and in which form.
    refused: BTreeMap<ResourceKey, (Digest, String)>,
    in_flight: Option<InFlight>,
    /// When it was last recorded.
    recorded: Timestamp,
}

#[derive(Debug)]
struct InFlight {
    nonce: u64,
    delta: Delta,
    until: Timestamp,
}

impl Session {
    /// A session that waits for its Hello.
    pub fn new(now: Timestamp) -> Self {
        Self {
            phase: Phase::Greeting {
                until: now.after(HELLO_DEADLINE),
            },
            wanted: None,
            last_nonce: 0,
        }
    }

    /// What `event` at `now` comes to.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Output> {
        self.handle(event, now)
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// What the proxy holds, as far as it said.
    pub fn holds(&self) -> Option<&BTreeMap<ResourceKey, Digest>> {
        match &self.phase {
            Phase::Open(open) => Some(&open.holds),
            Phase::Greeting { .. } | Phase::Closed => None,
        }
    }

    /// The proxy as it would be recorded now.
    pub fn proxy(&self) -> Option<&Proxy> {
        match &self.phase {
            Phase::Open(open) => Some(&open.proxy),
            Phase::Greeting { .. } | Phase::Closed => None,
        }
    }
}
