//! Check of the servers: each one is probed now.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::cli::{
    client::{
        admin::AdminClient,
        kind::{CATALOGUE, CREDENTIAL, SERVER, server_urls},
        probe_result, server_health,
    },
    output::{
        cell, credential_fields,
        error::{CliError, CliErrorKind},
        probe_advice::{self, FailedServer},
    },
};

use super::DoctorFinding;

/// Maximum number of looks, one a second, for proxies to notice that a server has recovered. They ask it every few seconds, and
/// what they see is stored every few seconds.
const RECOVERY_LOOKS: usize = 15;

/// Maximum number of servers that are probed at the same time.
const CONCURRENT_PROBES: usize = 16;

/// Result of the probe of one server.
#[derive(Debug)]
pub(super) enum DoctorProbe {
    /// The server was probed now.
    Probed(Value),
    /// The server could not be probed; what was stored of it, if anything.
    Stored(Option<Value>, CliError),
}

/// Probes all servers now, and reports each one.
pub(super) async fn servers(
    admin: &mut AdminClient,
) -> Result<Vec<(String, DoctorFinding)>, CliError> {
    let servers = admin.list(&SERVER).await?;
    let stored = admin.list(&CATALOGUE).await?;
    // A token that may read servers cannot necessarily read credentials.
    let credentials = admin.list(&CREDENTIAL).await.unwrap_or_default();
    let stored = |id: &str| stored.iter().find(|c| cell::id(c, "/name") == id).cloned();
    let probes = servers.iter().map(|server| {
        let (mut admin, id) = (admin.clone(), cell::id(server, "/metadata/name"));
        async move {
            let probed = crate::cli::commands::server::request_probe(&mut admin, &id).await;
            (id, probed)
        }
    });
    let probed: Vec<_> = stream::iter(probes)
        .buffered(CONCURRENT_PROBES)
        .collect()
        .await;
    let reached: BTreeSet<&str> = probed
        .iter()
        .filter(|(_, probed)| {
            let answer = probed.as_ref();
            answer.is_ok_and(|it| probe_result::problem(it).is_none())
        })
        .map(|(id, _)| id.as_str())
        .collect();
    let current = recovered(admin, &reached).await?;
    let findings = servers.iter().zip(&probed).map(|(server, (id, probed))| {
        // The state after the probe, unless the server was deleted meanwhile.
        let mut current = current.iter();
        let server = current
            .find(|it| cell::id(it, "/metadata/name") == *id)
            .unwrap_or(server);
        let probe = match probed {
            Ok(catalogue) => DoctorProbe::Probed(catalogue.clone()),
            Err(fault) => DoctorProbe::Stored(stored(id), fault.clone()),
        };
        let finding = server_finding(server, id, &probe, &credentials);
        (id.clone(), finding)
    });
    Ok(findings.collect())
}

/// Returns the servers, as soon as no server that a probe has reached fails for a proxy, and after [`RECOVERY_LOOKS`] in any case.
async fn recovered(
    admin: &mut AdminClient,
    reached: &BTreeSet<&str>,
) -> Result<Vec<Value>, CliError> {
    let mut servers = admin.list(&SERVER).await?;
    for _ in 0..RECOVERY_LOOKS {
        let is_behind = |server: &Value| {
            let seen = server_health::observations(server);
            reached.contains(cell::id(server, "/metadata/name").as_str())
                // Whether a credential is accepted shows in calls only.
                && seen.iter().any(|it| it.is_failing && !it.is_unauthorized)
        };
        if !servers.iter().any(is_behind) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers = admin.list(&SERVER).await?;
    }
    Ok(servers)
}

pub(super) fn server_finding(
    server: &Value,
    id: &str,
    probe: &DoctorProbe,
    credentials: &[Value],
) -> DoctorFinding {
    let subject = format!("server {id}");
    let (catalogue, seen) = match probe {
        DoctorProbe::Probed(catalogue) => (catalogue, "probed now".to_owned()),
        DoctorProbe::Stored(None, fault) => {
            return DoctorFinding::warning(
                subject,
                format!("never probed, and not now either: {}", fault.message),
                format!("`toolgate server probe {id}` in a moment"),
            );
        }
        DoctorProbe::Stored(Some(catalogue), fault) => {
            let age = cell::age(catalogue, "/probeTime", crate::cli::now());
            let seen = format!("seen {age} ago; not probed now: {}", fault.message);
            // Only the stored state is known: it says nothing of the server as it is.
            if probe_result::problem(catalogue).is_none() {
                let fix = match fault.kind {
                    CliErrorKind::Denied => "use an admin token that may probe servers".to_owned(),
                    CliErrorKind::Error
                    | CliErrorKind::Usage
                    | CliErrorKind::NotFound
                    | CliErrorKind::Conflict
                    | CliErrorKind::Unavailable
                    | CliErrorKind::CallFailed
                    | CliErrorKind::HungUp
                    | CliErrorKind::Interrupted
                    | CliErrorKind::Terminated => {
                        format!("`toolgate server probe {id}` in a moment")
                    }
                };
                return DoctorFinding::warning(subject, definitions(catalogue, &seen), fix);
            }
            (catalogue, seen)
        }
    };
    match probe_result::problem(catalogue) {
        Some(problem) if probe_result::is_warning(&problem) => {
            let text = problem.text.as_str();
            let (what, fix) = text.rsplit_once("; ").unwrap_or((text, ""));
            DoctorFinding::warning(subject, format!("{what} ({seen})"), fix)
        }
        Some(problem) => {
            let told = match probe_result::has_answered(&problem) {
                true => "it answers, with a problem",
                false => "the last probe failed",
            };
            let set_credential = set_command_of(server, credentials);
            let target = FailedServer {
                id,
                url: &server_urls(server).replace(',', ", "),
                set_credential: set_credential.as_deref(),
            };
            let fix = probe_advice::advice_for_probe(&problem, target);
            DoctorFinding::broken(subject, format!("{told}: {} ({seen})", problem.text), fix)
        }
        None => match (
            server_health::failure_at_proxies(server),
            crate::cli::commands::server::omissions(catalogue).next(),
        ) {
            (Some(failure), _) => DoctorFinding::broken(
                subject,
                format!("the control plane reaches it ({seen}), but {failure}"),
                proxy_advice(server, id, credentials),
            ),
            (None, Some(omission)) => {
                let (limit, fix) = omission.split_once("; ").unwrap_or((omission, ""));
                DoctorFinding::warning(subject, format!("{limit} ({seen})"), fix.to_owned())
            }
            (None, None) => endpoint_finding(server, id, &seen)
                .unwrap_or_else(|| DoctorFinding::fine(subject, definitions(catalogue, &seen))),
        },
    }
}

/// Returns the command that sets the values of the credential of a server, if it has one.
fn set_command_of(server: &Value, credentials: &[Value]) -> Option<String> {
    let id = server["spec"]["credential"].as_str()?;
    if id.is_empty() {
        return None;
    }
    let mut credentials = credentials.iter();
    let credential = credentials.find(|it| cell::id(it, "/metadata/name") == id);
    Some(credential_fields::set_command(id, credential))
}

/// Returns the next step for a server that a probe reaches and calls of proxies do not.
fn proxy_advice(server: &Value, id: &str, credentials: &[Value]) -> String {
    let seen = server_health::observations(server);
    if seen.iter().any(|it| it.is_failing && it.is_unauthorized) {
        let step = match set_command_of(server, credentials) {
            Some(command) => format!("`{command}` replaces its value"),
            None => format!("`toolgate credential set {id} --server {id}` gives the server one"),
        };
        return format!("it refuses the credential of calls: {step}");
    }
    format!(
        "a proxy asks it again within ten seconds; if it stays, compare the networks, `--egress-allow` and forward proxies of \
         these proxies with the control plane's, and its log: `toolgate describe server {id}`"
    )
}

/// Warns about the first endpoint that fails while the others answer, if there is one.
fn endpoint_finding(server: &Value, id: &str, seen: &str) -> Option<DoctorFinding> {
    let warning = server_health::endpoint_warnings(server).next()?;
    Some(DoctorFinding::warning(
        format!("server {id}"),
        format!("{warning}; calls go to the other endpoints ({seen})"),
        format!(
            "start what runs there, and the proxies notice it within ten seconds; or correct its URL: `toolgate edit server {id}`"
        ),
    ))
}

fn definitions(catalogue: &Value, seen: &str) -> String {
    format!(
        "{}, {}, {seen}",
        cell::counted(
            catalogue["tools"].as_array().map_or(0, Vec::len),
            "tool",
            "tools"
        ),
        cell::text(catalogue, "/era")
    )
}
