//! Health of servers as proxies see it through the calls that they send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ObjectName, Timestamp};

/// Time for which the health of a server that has recovered is kept.
pub const HEALTH_RETENTION: Duration = Duration::from_secs(3600);

/// Maximum number of servers whose health a proxy reports.
pub const HEALTH_SERVERS: usize = 100;

/// Maximum length of the description of a failure in bytes.
pub const HEALTH_DETAIL: usize = 300;

/// Condition of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HealthState {
    /// Calls are answered.
    Available,
    /// The circuit has opened, and neither a call nor a ping was answered since.
    Unavailable,
    /// The server refuses the credential, or the lack of one.
    Unauthorized,
}

/// Health of one server that has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHealth {
    /// Server.
    pub server: ObjectName,
    /// Condition.
    pub state: HealthState,
    /// Start of the last failure.
    pub failing_since: Timestamp,
    /// End of that failure; `None` while it lasts.
    pub recovered: Option<Timestamp>,
    /// Kind of the failure.
    pub failure: String,
    /// Description of the failure; may be empty.
    pub detail: String,
    /// Number of failures.
    pub outages: u32,
}

impl ServerHealth {
    /// Returns `true` while the server fails.
    pub fn is_failing(&self) -> bool {
        self.state != HealthState::Available
    }

    /// Returns `true` if the server recovered so long ago that its health is not kept.
    pub fn is_past(&self, now: Timestamp) -> bool {
        let recovered = self.recovered.filter(|_| !self.is_failing());
        recovered.is_some_and(|at| now.since(at) > HEALTH_RETENTION)
    }

    /// Returns the time of the last change.
    pub fn changed(&self) -> Timestamp {
        self.recovered.unwrap_or(self.failing_since)
    }
}

/// Keeps at most `limit` servers: failing servers before others, and later changes before earlier ones. The result is
/// ordered by server.
pub fn most_relevant(mut servers: Vec<ServerHealth>, limit: usize) -> Vec<ServerHealth> {
    if servers.len() > limit {
        servers.sort_by_key(|it| std::cmp::Reverse((it.is_failing(), it.changed())));
        servers.truncate(limit);
    }
    servers.sort_by(|a, b| a.server.cmp(&b.server));
    servers
}
