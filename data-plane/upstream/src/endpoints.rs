//! Endpoints of one server as seen from this proxy: which one is called, and which ones failed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use toolgate_data_core::{
    ServerView,
    endpoint_choice::{EndpointHealth, EndpointStatus, choose_endpoint},
    port::{BoxedFuture, EndpointResolver},
    refusal::UpstreamFailure,
};
use toolgate_model::{Endpoint, Timestamp};

/// Time for which an endpoint counts as unhealthy after no connection to it could be made, or the circuit opened over it. Then
/// it is tried again.
pub(crate) const UNHEALTHY_FOR: Duration = Duration::from_secs(300);

/// Endpoints of servers that are run elsewhere: those of the configuration. Their health is observed by calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfiguredEndpoints;

impl EndpointResolver for ConfiguredEndpoints {
    fn resolve<'a>(
        &'a self,
        server: &'a ServerView,
    ) -> BoxedFuture<'a, Result<Vec<EndpointStatus>, UpstreamFailure>> {
        let status = |endpoint: &Endpoint| EndpointStatus {
            endpoint: endpoint.clone(),
            health: EndpointHealth::Healthy,
        };
        let all = server.endpoints.iter().map(status).collect();
        Box::pin(std::future::ready(Ok(all)))
    }
}

/// Health of the endpoints of one server, observed by connections and through its circuit breaker.
#[derive(Debug, Default)]
pub(crate) struct ObservedEndpoints {
    state: Mutex<ObservedHealth>,
}

#[derive(Debug, Default)]
struct ObservedHealth {
    /// Endpoint chosen last.
    current: Option<Endpoint>,
    /// Number of times that the circuit breaker had opened by then.
    trips: u32,
    /// Endpoints that failed, each with the time until which it counts as unhealthy.
    failed: Vec<(Endpoint, Timestamp)>,
}

impl ObservedEndpoints {
    /// Returns the index of the endpoint to call. `trips` counts how often the circuit breaker opened or stayed open
    /// after a probe: if it grew since the last choice, the endpoint chosen then has failed.
    pub(crate) fn choose(
        &self,
        mut endpoints: Vec<EndpointStatus>,
        region: &str,
        trips: u32,
        now: Timestamp,
    ) -> Option<usize> {
        let mut state = self.state();
        state.failed.retain(|(_, until)| now < *until);
        if state.trips != trips {
            state.trips = trips;
            if let Some(failed) = state.current.take() {
                state.set_aside(failed, now);
            }
        }
        // If all have failed, the first of these failures is the most likely to be over.
        let all_failed = |status: &EndpointStatus| {
            let mut failed = state.failed.iter();
            failed.any(|(endpoint, _)| *endpoint == status.endpoint)
        };
        if endpoints.iter().all(all_failed) && !state.failed.is_empty() {
            state.failed.remove(0);
        }
        for status in &mut endpoints {
            let mut failed = state.failed.iter();
            if failed.any(|(endpoint, _)| *endpoint == status.endpoint) {
                status.health = EndpointHealth::Unhealthy;
            }
        }
        let chosen = choose_endpoint(&endpoints, region)?;
        state.current = endpoints.get(chosen).map(|status| status.endpoint.clone());
        Some(chosen)
    }

    /// Records that no connection to this endpoint could be made. Returns `true` if it counted as healthy.
    pub(crate) fn set_aside(&self, endpoint: &Endpoint, now: Timestamp) -> bool {
        let mut state = self.state();
        if state.current.as_ref() == Some(endpoint) {
            state.current = None;
        }
        state.set_aside(endpoint.clone(), now)
    }

    fn state(&self) -> MutexGuard<'_, ObservedHealth> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObservedHealth {
    /// Counts the endpoint as unhealthy from `now` on. Returns `true` if it counted as healthy.
    fn set_aside(&mut self, failed: Endpoint, now: Timestamp) -> bool {
        let known = self.failed.len();
        self.failed.retain(|(endpoint, _)| *endpoint != failed);
        let is_news = self.failed.len() == known;
        self.failed.push((failed, now.after(UNHEALTHY_FOR)));
        is_news
    }
}

#[cfg(test)]
mod tests;
