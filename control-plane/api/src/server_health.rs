//! Health of servers as the connected proxies see it. Every status that depends on it is derived here.

use toolgate_control_core::{StoreState, push::is_connected};
use toolgate_model::{ObjectName, ServerHealth, Slug, Timestamp};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::admin::health_seen_by;

/// Returns the connected proxies, in order, for which the server fails or has failed lately.
fn observers<'a>(
    server: &'a ObjectName,
    state: &'a StoreState,
    now: Timestamp,
) -> impl Iterator<Item = (&'a Slug, &'a ServerHealth)> {
    let connected = state.proxies.iter();
    let connected = connected.filter(move |(_, proxy)| is_connected(proxy, now));
    connected.filter_map(move |(id, proxy)| {
        let servers = &proxy.servers;
        let found = servers.binary_search_by(|it| it.server.cmp(server));
        let health = servers.get(found.ok()?)?;
        (!health.is_past(now)).then_some((id, health))
    })
}

/// Returns the health of a server for its status.
pub(crate) fn of_server(
    server: &ObjectName,
    state: &StoreState,
    now: Timestamp,
) -> Vec<pb::ServerHealth> {
    let observers = observers(server, state, now);
    observers
        .map(|(proxy, health)| health_seen_by(proxy, health))
        .collect()
}

/// Describes the failure of a server that fails for every connected proxy; `None` if it does not.
pub(crate) fn failure_everywhere(
    server: &ObjectName,
    state: &StoreState,
    now: Timestamp,
) -> Option<String> {
    let connected = state
        .proxies
        .iter()
        .filter(|(_, proxy)| is_connected(proxy, now))
        .count();
    let failing: Vec<&ServerHealth> = observers(server, state, now)
        .map(|(_, health)| health)
        .filter(|health| health.is_failing())
        .collect();
    let first = failing.iter().min_by_key(|health| health.failing_since)?;
    if failing.len() < connected {
        return None;
    }
    let detail = match first.detail.is_empty() {
        true => &first.failure,
        false => &first.detail,
    };
    Some(format!(
        "server {} fails for all proxies: {detail}",
        server.id
    ))
}

#[cfg(test)]
mod tests;
