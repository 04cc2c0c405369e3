//! Warnings about proxies whose clock differs from that of their control plane.

use toolgate_control_core::StoreState;
use toolgate_model::ProxyStatus;

/// Maximum number of proxies that are named.
const MAX_NAMED: usize = 20;

/// Returns the warnings about the connected proxies, and the number of these proxies.
pub(crate) fn clock_warnings(state: &StoreState) -> (Vec<String>, usize) {
    let connected = state.proxies.iter().filter(|(_, proxy)| proxy.connected);
    let off: Vec<String> = connected.filter_map(|(_, proxy)| warning(proxy)).collect();
    let count = off.len();
    (off.into_iter().take(MAX_NAMED).collect(), count)
}

fn warning(proxy: &ProxyStatus) -> Option<String> {
    let clock = proxy.clock.filter(|clock| clock.is_off())?;
    let direction = match clock.ahead_ms > 0 {
        true => "ahead of",
        false => "behind",
    };
    Some(format!(
        "the clock of proxy {} is {} s {direction} that of its control plane; switch on time synchronisation on both machines",
        proxy.id,
        clock.distance_secs()
    ))
}
