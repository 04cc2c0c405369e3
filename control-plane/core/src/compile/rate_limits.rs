//! Collects the rate limits that apply to a gateway: those of its organization, its own, and those of its bindings and
//! of the servers behind them. They are part of the gateway, so that one required feature guards all of them.

use toolgate_model::{
    Gateway, ObjectName, RateLimit, ServerBinding, ServerDefinitions, Slug,
    snapshot::{RateLimitScope, ScopedRateLimit},
};

use super::{ConfigProblem, ExposedKind, ProblemKind};
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

/// Reports the tools that `limits` of a binding or a server name and the server does not offer: such a limit, for example
/// with a misspelt name, bounds nothing. `object` is the path of the object that has the limits.
pub(super) fn unknown_tools(
    object: &str,
    limits: &[RateLimit],
    server: &Slug,
    catalogue: &ServerDefinitions,
) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let is_offered = |name: &String| catalogue.tools.iter().any(|tool| tool.name == *name);
        for (at, name) in limit.tools.iter().enumerate() {
            if is_offered(name) {
                continue;
            }
            let kind = ProblemKind::NotOffered {
                server: server.clone(),
                what: ExposedKind::Tool,
                name: name.clone(),
            };
            let field = format!("{object}.rateLimits[{index}].tools[{at}]");
            problems.push(ConfigProblem { field, kind });
        }
    }
    problems
}

fn extend(all: &mut Vec<ScopedRateLimit>, scope: &RateLimitScope, limits: &[RateLimit]) {
    all.extend(limits.iter().map(|limit| ScopedRateLimit {
        scope: scope.clone(),
        limit: limit.clone(),
    }));
}
