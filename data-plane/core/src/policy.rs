//! Policy stages of a request, in their order:
//!
//! ```text
//!  admit        before the body is read: filters of the token, the organization and the gateway. Messages that
//!               release resources pass beyond them at a rate of their own, see `data-plane/src/release_rate.rs`
//!  plan         authorization, see `plan`
//!  before_call  before a server is called: filters of the binding and the server
//!  call         see `call`
//!  account      metrics and traces
//! ```
//!
//! The filters of a stage are data of the snapshot, compiled into a [`FilterChain`] when the view is built. A stage
//! without filters is an empty slice. A gateway whose filters a proxy does not know is denied (`must_understand`).
//!
//! The rate limit per token from the settings of a proxy is no filter: it is in `data-plane/src/rate_limit/per_token.rs`.

mod fleet_share;
mod rate_limit;

use std::collections::BTreeMap;

use toolgate_model::{
    ObjectName, RateLimit, Slug, Uid,
    snapshot::{RateLimitScope, ScopedRateLimit},
};

pub use fleet_share::DividedQuota;
pub use rate_limit::{BucketKey, RateLimitFilter};

/// Filter of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Limit of a rate of requests.
    RateLimit(RateLimitFilter),
}

/// Filters of one stage, in the order in which they apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterChain(Box<[Filter]>);

/// Filters of a gateway, by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayPolicy {
    admit: FilterChain,
    before_call: BTreeMap<Slug, FilterChain>,
}

impl FilterChain {
    /// Filters in the order in which they apply.
    pub fn filters(&self) -> &[Filter] {
        &self.0
    }

    /// Compiles the rate limits of a token.
    pub(crate) fn of_token(token: Uid, limits: &[RateLimit]) -> Self {
        Self::sorted(
            limits
                .iter()
                .map(|limit| RateLimitFilter::of_token(token, limit))
                .collect(),
        )
    }

    /// Sorts limits from narrow to wide: what a narrow limit of a stage refuses does not use up a wide one of that stage.
    /// A request that a later stage refuses has used the limits of `admit`: they bound all requests, not calls.
    fn sorted(mut limits: Vec<RateLimitFilter>) -> Self {
        // Of one key, the short interval first: what it refuses does not use up the long one.
        limits.sort_by_key(|limit| (limit.per, limit.limit.interval));
        Self(limits.into_iter().map(Filter::RateLimit).collect())
    }
}

impl GatewayPolicy {
    /// Compiles the rate limits of a gateway.
    pub(crate) fn new(gateway: &ObjectName, limits: &[ScopedRateLimit]) -> Self {
        let mut admit = Vec::new();
        let mut before_call: BTreeMap<Slug, Vec<RateLimitFilter>> = BTreeMap::new();
        for given in limits {
            let limit = RateLimitFilter::of_gateway(gateway, given);
            match &given.scope {
                RateLimitScope::Organization | RateLimitScope::Gateway => admit.push(limit),
                RateLimitScope::Server(server) | RateLimitScope::Binding(server) => {
                    before_call.entry(server.clone()).or_default().push(limit);
                }
            }
        }
        let before_call = before_call.into_iter();
        Self {
            admit: FilterChain::sorted(admit),
            before_call: before_call
                .map(|(server, limits)| (server, FilterChain::sorted(limits)))
                .collect(),
        }
    }

    /// Filters of all requests, before the body is read. Messages that release resources pass beyond them, at a rate of their own.
    pub fn admit(&self) -> &[Filter] {
        self.admit.filters()
    }

    /// Filters of calls to this server.
    pub fn before_call(&self, server: &Slug) -> &[Filter] {
        // An empty map is not searched: most gateways have no filter here.
        self.before_call
            .get(server)
            .map_or(&[], FilterChain::filters)
    }

    /// All filters of all stages.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        let chains = std::iter::once(&self.admit).chain(self.before_call.values());
        chains.flat_map(FilterChain::filters)
    }
}

#[cfg(test)]
mod tests;
