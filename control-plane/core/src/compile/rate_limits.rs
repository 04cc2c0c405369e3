//! Collects the rate limits that apply to a gateway: those of its organization, its own, and those of its bindings and
//! of the servers behind them. They are part of the gateway, so that one security field guards all of them.

use toolgate_model::{
    Gateway, ObjectName, RateLimit, ServerBinding,
    snapshot::{RateLimitScope, ScopedRateLimit},
};

use crate::state::StoreState;

/// Returns the rate limits of `gateway` with these bindings, each with its scope.
pub(super) fn compile<'a>(
    state: &StoreState,
    gateway: &Gateway,
    bindings: impl Iterator<Item = (usize, &'a ServerBinding)>,
) -> Vec<ScopedRateLimit> {
    let mut all = Vec::new();
    let org = &gateway.name.org;
    if let Some(organization) = state.organizations.get(org) {
        extend(
            &mut all,
            &RateLimitScope::Organization,
            &organization.rate_limits,
        );
    }
    extend(&mut all, &RateLimitScope::Gateway, &gateway.rate_limits);
    for (_, binding) in bindings {
        let id = &binding.server;
        let scope = RateLimitScope::Binding(id.clone());
        extend(&mut all, &scope, &binding.rate_limits);
        if let Some(server) = state.servers.get(&ObjectName::new(org.clone(), id.clone())) {
            let scope = RateLimitScope::Server(id.clone());
            extend(&mut all, &scope, &server.rate_limits);
        }
    }
    all
}

fn extend(all: &mut Vec<ScopedRateLimit>, scope: &RateLimitScope, limits: &[RateLimit]) {
    all.extend(limits.iter().map(|limit| ScopedRateLimit {
        scope: scope.clone(),
        limit: limit.clone(),
    }));
}
