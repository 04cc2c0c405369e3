//! Check of the fleet: the connection of each proxy, its configuration and its clock.

use serde_json::Value;

use crate::cli::{
    client::{
        admin::AdminClient,
        kind::PROXY,
        proxy_clock,
        proxy_state::{NEW_EPOCH_STEP, ProxyState},
    },
    output::{
        cell,
        error::{CliError, CliErrorKind},
    },
};

use super::{CLOCK_FIX, DoctorFinding};

/// Lists the proxies, or returns `None` if the token may not read them: they belong to the deployment, not to an
/// organization.
pub(super) async fn proxies(admin: &mut AdminClient) -> Result<Option<Vec<Value>>, CliError> {
    match admin.list(&PROXY).await {
        Ok(proxies) => Ok(Some(proxies)),
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(None),
        Err(fault) => Err(fault),
    }
}

pub(super) fn fleet_not_visible() -> Vec<DoctorFinding> {
    let fix = "use the system token to look at proxies too";
    vec![DoctorFinding::warning(
        "proxies",
        "this token may not look at the fleet",
        fix,
    )]
}

pub(super) fn fleet(proxies: &[Value]) -> Vec<DoctorFinding> {
    if proxies.is_empty() {
        let fix = "`toolgate proxies join-token > join.json`, then `toolgate proxy --join join.json --control-plane URL`";
        return vec![DoctorFinding::broken("proxies", "none has connected", fix)];
    }
    let clock_finding = |proxy: &Value| {
        let subject = format!("clock of proxy {}", cell::id(proxy, "/name"));
        let problem = proxy_clock::problem(proxy)?;
        Some(DoctorFinding::broken(subject, problem, CLOCK_FIX))
    };
    let finding = |proxy: &Value| {
        let id = cell::id(proxy, "/name");
        let subject = format!("proxy {id}");
        let versions = format!(
            "wanted {}, acked {}",
            cell::version(proxy, "/wanted"),
            cell::version(proxy, "/acked")
        );
        match ProxyState::of(proxy) {
            ProxyState::Ahead => DoctorFinding::broken(
                subject,
                format!(
                    "holds a later version than the store, and does not follow it: {versions}; the store was restored from \
                     an older copy, or is another one"
                ),
                NEW_EPOCH_STEP,
            ),
            ProxyState::InSync => DoctorFinding::fine(subject, versions),
            ProxyState::Behind => DoctorFinding::warning(
                subject,
                format!("behind: {versions}"),
                "look again in a second; if it stays, read that proxy's log",
            ),
            ProxyState::Refusing => DoctorFinding::broken(
                subject,
                format!("refuses parts of its configuration: {versions}"),
                "`toolgate proxies` names them with reasons",
            ),
            ProxyState::Away => {
                let seen = cell::age(proxy, "/lastSeenTime", crate::cli::now());
                let fix = "it serves on with what it holds; check its process, its log, its clock, and its way to the control plane";
                DoctorFinding::warning(subject, format!("away, last seen {seen} ago"), fix)
            }
        }
    };
    let clocks = proxies.iter().filter_map(clock_finding);
    proxies.iter().map(finding).chain(clocks).collect()
}
