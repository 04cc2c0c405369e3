//! Health of servers as proxies see it through the calls that they send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, ObjectName, Timestamp};

/// Time for which the health of a server that has recovered is kept.
pub const HEALTH_RETENTION: Duration = Duration::from_secs(3600);

/// Maximum number of servers whose health a proxy reports.
pub const HEALTH_SERVERS: usize = 100;

/// Maximum number of endpoints whose failure a proxy reports, of all servers together.
pub const HEALTH_ENDPOINTS: usize = 50;

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

/// Failure of one endpoint of a server that has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointFailure {
    /// Endpoint as configured.
    pub endpoint: Endpoint,
    /// Start of the failure, which lasts.
    pub failing_since: Timestamp,
    /// Kind of the failure.
    pub failure: String,
    /// Description of the failure; may be empty.
    pub detail: String,
}

/// Health of one server that has failed, or one of whose endpoints fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHealth {
    /// Server.
    pub server: ObjectName,
    /// Condition.
    pub state: HealthState,
    /// Start of the last failure; of a server that has not failed, the start of the first failure of an endpoint.
    pub failing_since: Timestamp,
    /// End of that failure; `None` while it lasts, and for a server that has not failed.
    pub recovered: Option<Timestamp>,
    /// Kind of the failure.
    pub failure: String,
    /// Description of the failure; may be empty.
    pub detail: String,
    /// Number of failures.
    pub outages: u32,
    /// Endpoints that fail, of a server with several. Calls go to the others, if any.
    pub endpoints: Vec<EndpointFailure>,
}

impl ServerHealth {
    /// Returns the health of a server that has not failed.
    pub fn available(server: ObjectName, since: Timestamp) -> Self {
        Self {
            server,
            state: HealthState::Available,
            failing_since: since,
            recovered: None,
            failure: String::new(),
            detail: String::new(),
            outages: 0,
            endpoints: Vec::new(),
        }
    }

    /// Returns `true` while the server fails.
    pub fn is_failing(&self) -> bool {
        self.state != HealthState::Available
    }

    /// Returns `true` while the server or one of its endpoints fails.
    pub fn has_failures(&self) -> bool {
        self.is_failing() || !self.endpoints.is_empty()
    }

    /// Returns `true` if there is nothing to keep: nothing fails, and the server has not failed, or has recovered long ago.
    pub fn is_past(&self, now: Timestamp) -> bool {
        let is_recent = |at: Timestamp| now.since(at) <= HEALTH_RETENTION;
        !self.has_failures() && !self.recovered.is_some_and(is_recent)
    }

    /// Returns the time of the last change.
    pub fn changed(&self) -> Timestamp {
        self.recovered.unwrap_or(self.failing_since)
    }
}

/// Keeps at most `limit` servers, and [`HEALTH_ENDPOINTS`] failing endpoints: failing servers before others, and later changes
/// before earlier ones. The result is ordered by server.
pub fn most_relevant(mut servers: Vec<ServerHealth>, limit: usize) -> Vec<ServerHealth> {
    if servers.len() > limit {
        let relevance = |it: &ServerHealth| (it.is_failing(), it.has_failures(), it.changed());
        servers.sort_by_key(|it| std::cmp::Reverse(relevance(it)));
        servers.truncate(limit);
    }
    let mut left = HEALTH_ENDPOINTS;
    for health in &mut servers {
        health.endpoints.truncate(left);
        left -= health.endpoints.len();
    }
    servers.sort_by(|a, b| a.server.cmp(&b.server));
    servers
}
