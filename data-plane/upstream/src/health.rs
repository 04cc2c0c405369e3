//! Health of the servers as this proxy sees it, for its control plane. Only servers that fail or have
//! failed lately, and those with an endpoint that fails, are kept.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_model::{
    Digest, EndpointFailure, HealthState, ObjectName, ServerHealth, Timestamp,
    server_health::{HEALTH_DETAIL, HEALTH_SERVERS, most_relevant},
    text::truncated,
};

/// Health of all servers of the proxy.
#[derive(Debug, Default)]
pub struct HealthMonitor {
    servers: Mutex<MonitoredServers>,
    /// Incremented by every change.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct MonitoredServers {
    health: BTreeMap<ObjectName, ServerHealth>,
    /// Digests of the configurations whose reports are recorded.
    configurations: BTreeMap<ObjectName, Digest>,
}

/// Configuration of a server that a report is about. A report about another configuration than the current one is
/// dropped: it may come from a call that began before the server was configured in another way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportedServer<'a> {
    pub(crate) name: &'a ObjectName,
    pub(crate) configuration: Digest,
}

/// Failure of a server, with its description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LastFailure {
    kind: Option<UpstreamFailure>,
    detail: String,
}

impl LastFailure {
    /// Describes a failure. The description has at most [`HEALTH_DETAIL`] bytes.
    pub(crate) fn new(kind: UpstreamFailure, detail: &str) -> Self {
        Self {
            kind: Some(kind),
            detail: truncated(detail, HEALTH_DETAIL).replace(char::is_control, " "),
        }
    }

    /// Returns the kind of the failure as programs know it.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.unwrap_or(UpstreamFailure::Unreachable).kind()
    }

    /// Returns `true` if no connection could be made.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.kind == Some(UpstreamFailure::Unreachable)
    }

    /// Returns the description; may be empty.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the description, if it is of a failure of this kind.
    pub(crate) fn detail_of(&self, kind: UpstreamFailure) -> &str {
        match self.kind == Some(kind) {
            true => &self.detail,
            false => "",
        }
    }
}

impl HealthMonitor {
    /// Returns the health of the servers that fail or have failed lately, ordered by server.
    pub fn servers(&self, now: Timestamp) -> Vec<ServerHealth> {
        let mut servers = self.lock();
        servers.health.retain(|_, health| !health.is_past(now));
        servers.health.values().cloned().collect()
    }

    /// Returns a receiver that changes with the health of any server.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Records that a server fails.
    pub(crate) fn fail(
        &self,
        server: ReportedServer<'_>,
        state: HealthState,
        failure: UpstreamFailure,
        detail: &str,
        now: Timestamp,
    ) {
        let mut servers = self.lock();
        if !servers.has_configuration(server) {
            return;
        }
        let before = servers.health.remove(server.name);
        let outages = before.as_ref().map_or(0, |it| it.outages);
        let endpoints = before
            .as_ref()
            .map_or_else(Vec::new, |it| it.endpoints.clone());
        let ongoing = before.filter(ServerHealth::is_failing);
        let health = ServerHealth {
            server: server.name.clone(),
            state,
            failing_since: ongoing.as_ref().map_or(now, |it| it.failing_since),
            recovered: None,
            failure: failure.kind().to_owned(),
            detail: detail.to_owned(),
            outages: outages.saturating_add(u32::from(ongoing.is_none())),
            endpoints,
        };
        servers.put(health);
        drop(servers);
        self.notify();
    }

    /// Sets the endpoints of a server that fail.
    pub(crate) fn set_failing_endpoints(
        &self,
        server: ReportedServer<'_>,
        failing: Vec<EndpointFailure>,
    ) {
        let mut servers = self.lock();
        if !servers.has_configuration(server) {
            return;
        }
        let before = servers.health.remove(server.name);
        let told = before.as_ref().map_or(&[][..], |it| &it.endpoints);
        let is_news = told != failing;
        let first = failing.iter().map(|it| it.failing_since).min();
        let health = match (before, first) {
            (Some(before), _) => Some(before),
            (None, Some(since)) => Some(ServerHealth::available(server.name.clone(), since)),
            (None, None) => None,
        };
        let health = health.map(|health| ServerHealth {
            endpoints: failing,
            ..health
        });
        // A server that has not failed itself is kept for its endpoints only.
        let kept = health.filter(|it| it.has_failures() || it.recovered.is_some());
        if let Some(health) = kept {
            servers.put(health);
        }
        drop(servers);
        if is_news {
            self.notify();
        }
    }

    /// Returns `true` if the server is recorded as failing.
    pub(crate) fn is_failing(&self, server: ReportedServer<'_>) -> bool {
        let servers = self.lock();
        let health = servers.health.get(server.name);
        health.is_some_and(ServerHealth::is_failing)
    }

    /// Records that a server answers again.
    pub(crate) fn recover(&self, server: ReportedServer<'_>, now: Timestamp) {
        let mut servers = self.lock();
        if !servers.has_configuration(server) {
            return;
        }
        let failing = servers.health.get_mut(server.name);
        let failing = failing.filter(|it| it.is_failing());
        let Some(health) = failing else { return };
        health.state = HealthState::Available;
        health.recovered = Some(now);
        drop(servers);
        self.notify();
    }

    /// Sets the configuration of a server whose reports are recorded. The reports about a former configuration are forgotten.
    pub(crate) fn configure(&self, server: ReportedServer<'_>) {
        let mut servers = self.lock();
        let (name, configuration) = (server.name.clone(), server.configuration);
        let former = servers.configurations.insert(name, configuration);
        let is_same = former == Some(configuration);
        let forgotten = !is_same && servers.health.remove(server.name).is_some();
        drop(servers);
        if forgotten {
            self.notify();
        }
    }

    /// Forgets a configuration of a server, unless another one has taken its place.
    pub(crate) fn forget(&self, server: ReportedServer<'_>) {
        let mut servers = self.lock();
        if !servers.has_configuration(server) {
            return;
        }
        servers.configurations.remove(server.name);
        let forgotten = servers.health.remove(server.name).is_some();
        drop(servers);
        if forgotten {
            self.notify();
        }
    }

    fn notify(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, MonitoredServers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MonitoredServers {
    /// Sets the health of a server. The health of other servers is forgotten if there is too much of it.
    fn put(&mut self, health: ServerHealth) {
        let all = &mut self.health;
        all.insert(health.server.clone(), health);
        if all.len() > 2 * HEALTH_SERVERS {
            let former = std::mem::take(all).into_values().collect();
            let kept = most_relevant(former, HEALTH_SERVERS);
            all.extend(kept.into_iter().map(|it| (it.server.clone(), it)));
        }
    }

    /// Returns `true` if reports about this configuration are recorded.
    fn has_configuration(&self, server: ReportedServer<'_>) -> bool {
        self.configurations.get(server.name) == Some(&server.configuration)
    }
}

#[cfg(test)]
mod tests;
