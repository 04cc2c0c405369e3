//! Endpoints of one server as seen from this proxy: which one is called, and which ones failed.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use toolgate_data_core::{
    ServerView,
    endpoint_choice::{EndpointHealth, EndpointStatus, choose_endpoint},
    port::{BoxedFuture, EndpointResolver},
    refusal::UpstreamFailure,
};
use toolgate_model::{Endpoint, EndpointFailure, Timestamp};

use crate::health::LastFailure;

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
    /// `false` while no endpoint is known to fail, so that a call that succeeds need not lock.
    has_failing: AtomicBool,
}

#[derive(Debug, Default)]
struct ObservedHealth {
    /// Endpoint chosen last.
    current: Option<Endpoint>,
    /// Number of times that the circuit breaker had opened by then.
    trips: u32,
    /// Endpoints that failed, each with the time until which it counts as unhealthy.
    failed: Vec<(Endpoint, Timestamp)>,
    /// Endpoints that failed and have not answered since, with the cause.
    failing: Vec<FailingEndpoint>,
}

#[derive(Debug)]
struct FailingEndpoint {
    told: EndpointFailure,
    /// `true` if no connection could be made, so that an answer to a ping shows that the endpoint is well.
    is_unreachable: bool,
}

/// Result of the choice of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChosenEndpoint {
    /// Index of the endpoint to call.
    pub(crate) index: usize,
    /// `true` if the endpoint chosen before has failed since, so that the failing endpoints have changed.
    pub(crate) has_news: bool,
}

impl ObservedEndpoints {
    /// Chooses the endpoint to call. `trips` counts how often the circuit breaker opened or stayed open after a probe: if it
    /// grew since the last choice, the endpoint chosen then has failed, with `last` as the cause.
    pub(crate) fn choose(
        &self,
        mut endpoints: Vec<EndpointStatus>,
        region: &str,
        trips: u32,
        last: impl FnOnce() -> LastFailure,
        now: Timestamp,
    ) -> Option<ChosenEndpoint> {
        let mut state = self.state();
        state.failed.retain(|(_, until)| now < *until);
        let mut has_news = false;
        if state.trips != trips {
            state.trips = trips;
            if let Some(failed) = state.current.take() {
                has_news = true;
                self.has_failing.store(true, Ordering::Relaxed);
                state.set_aside(failed, &last(), now);
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
        let index = choose_endpoint(&endpoints, region)?;
        state.current = endpoints.get(index).map(|status| status.endpoint.clone());
        Some(ChosenEndpoint { index, has_news })
    }

    /// Records that no connection to this endpoint could be made. Returns `true` if it was not known to fail.
    pub(crate) fn set_aside(
        &self,
        endpoint: &Endpoint,
        failure: &LastFailure,
        now: Timestamp,
    ) -> bool {
        let mut state = self.state();
        if state.current.as_ref() == Some(endpoint) {
            state.current = None;
        }
        self.has_failing.store(true, Ordering::Relaxed);
        state.set_aside(endpoint.clone(), failure, now)
    }

    /// Reports if an endpoint is known to fail.
    pub(crate) fn has_failing(&self) -> bool {
        self.has_failing.load(Ordering::Relaxed)
    }

    /// Returns the endpoints that fail.
    pub(crate) fn failing(&self) -> Vec<EndpointFailure> {
        let state = self.state();
        state.failing.iter().map(|it| it.told.clone()).collect()
    }

    /// Records that the endpoint has answered a call. Returns `true` if it was known to fail.
    pub(crate) fn record_answer(&self, endpoint: &Endpoint) -> bool {
        self.has_failing() && self.forget(&mut self.state(), endpoint)
    }

    /// Records that the endpoint has answered a ping. After a failure to connect it is called again. An endpoint over which
    /// the circuit opened stays aside for its time: some servers answer pings while their calls fail. Returns `true` if the
    /// endpoint no longer counts as failing.
    pub(crate) fn record_ping(&self, endpoint: &Endpoint, now: Timestamp) -> bool {
        let mut state = self.state();
        let mut failing = state.failing.iter();
        let Some(failed) = failing.find(|it| it.told.endpoint == *endpoint) else {
            return false;
        };
        if failed.is_unreachable {
            state.failed.retain(|(failed, _)| failed != endpoint);
            return self.forget(&mut state, endpoint);
        }
        let mut failed = state.failed.iter();
        let is_aside = failed.any(|(failed, until)| failed == endpoint && now < *until);
        !is_aside && self.forget(&mut state, endpoint)
    }

    fn forget(&self, state: &mut ObservedHealth, endpoint: &Endpoint) -> bool {
        let known = state.failing.len();
        state.failing.retain(|it| it.told.endpoint != *endpoint);
        self.has_failing
            .store(!state.failing.is_empty(), Ordering::Relaxed);
        state.failing.len() < known
    }

    fn state(&self) -> MutexGuard<'_, ObservedHealth> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObservedHealth {
    /// Counts the endpoint as unhealthy from `now` on, and as failing. Returns `true` if it was not known to fail.
    fn set_aside(&mut self, failed: Endpoint, failure: &LastFailure, now: Timestamp) -> bool {
        self.failed.retain(|(endpoint, _)| *endpoint != failed);
        let until = now.after(UNHEALTHY_FOR);
        self.failed.push((failed.clone(), until));
        let mut failing = self.failing.iter_mut();
        let known = failing.find(|it| it.told.endpoint == failed);
        let is_news = known.is_none();
        let failing_since = known.as_ref().map_or(now, |it| it.told.failing_since);
        let failing = FailingEndpoint {
            told: EndpointFailure {
                endpoint: failed,
                failing_since,
                failure: failure.kind().to_owned(),
                detail: failure.detail().to_owned(),
            },
            is_unreachable: failure.is_unreachable(),
        };
        match known {
            Some(known) => *known = failing,
            None => self.failing.push(failing),
        }
        is_news
    }
}

#[cfg(test)]
mod tests;
