//! Choice of the endpoint of a server that is called.

use toolgate_model::Endpoint;

/// Endpoint of a server with its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Address.
    pub endpoint: Endpoint,
    /// Health, as last observed.
    pub health: EndpointHealth,
}

/// Health of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointHealth {
    /// Answers, or nothing is known to the contrary.
    Healthy,
    /// Failed repeatedly. Called only if all endpoints did.
    Unhealthy,
}

/// Returns the index of the endpoint to call: a healthy one of this region, else a healthy one, else one of this
/// region, else any; of several equal ones the first. Returns `None` if there is no endpoint.
///
/// Unhealthy endpoints remain as the last choice: whether a server is called at all is for its circuit breaker to say.
pub fn choose_endpoint(endpoints: &[EndpointStatus], region: &str) -> Option<usize> {
    let rank = |status: &EndpointStatus| {
        let near = !region.is_empty() && status.endpoint.region.as_deref() == Some(region);
        (status.health, !near)
    };
    let ranked = endpoints.iter().enumerate();
    let best = ranked.min_by_key(|(_, status)| rank(status));
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
