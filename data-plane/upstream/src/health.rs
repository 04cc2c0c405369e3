//! Health of the servers as this proxy sees it, for its control plane. Only servers that fail, or have failed lately, are kept.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_model::{
    HealthState, ObjectName, ServerHealth, Timestamp,
    server_health::{HEALTH_DETAIL, HEALTH_SERVERS, most_relevant},
};

/// Health of all servers of the proxy.
#[derive(Debug, Default)]
pub struct HealthMonitor {
    servers: Mutex<BTreeMap<ObjectName, ServerHealth>>,
    /// Incremented by every change.
    changes: watch::Sender<u64>,
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
        let end = (0..=HEALTH_DETAIL.min(detail.len())).rev();
        let end = end.into_iter().find(|at| detail.is_char_boundary(*at));
        let detail = detail.get(..end.unwrap_or(0)).unwrap_or_default();
        Self {
            kind: Some(kind),
            detail: detail.replace(char::is_control, " "),
        }
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
        servers.retain(|_, health| !health.is_past(now));
        servers.values().cloned().collect()
    }

    /// Returns a receiver that changes with the health of any server.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Records that a server fails.
    pub(crate) fn fail(
        &self,
        server: &ObjectName,
        state: HealthState,
        failure: UpstreamFailure,
        detail: &str,
        now: Timestamp,
    ) {
        let mut servers = self.lock();
        let before = servers.remove(server);
        let outages = before.as_ref().map_or(0, |it| it.outages);
        let ongoing = before.filter(ServerHealth::is_failing);
        let health = ServerHealth {
            server: server.clone(),
            state,
            failing_since: ongoing.as_ref().map_or(now, |it| it.failing_since),
            recovered: None,
            failure: failure.kind().to_owned(),
            detail: detail.to_owned(),
            outages: outages.saturating_add(u32::from(ongoing.is_none())),
        };
        servers.insert(server.clone(), health);
        if servers.len() > 2 * HEALTH_SERVERS {
            let all = std::mem::take(&mut *servers).into_values().collect();
            let kept = most_relevant(all, HEALTH_SERVERS);
            servers.extend(kept.into_iter().map(|it| (it.server.clone(), it)));
        }
        drop(servers);
        self.notify();
    }

    /// Records that a server answers again.
    pub(crate) fn recover(&self, server: &ObjectName, now: Timestamp) {
        let mut servers = self.lock();
        let failing = servers.get_mut(server).filter(|it| it.is_failing());
        let Some(health) = failing else { return };
        health.state = HealthState::Available;
        health.recovered = Some(now);
        drop(servers);
        self.notify();
    }

    /// Forgets a server, which is not configured any more, or in another way.
    pub(crate) fn forget(&self, server: &ObjectName) {
        if self.lock().remove(server).is_some() {
            self.notify();
        }
    }

    fn notify(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, ServerHealth>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
