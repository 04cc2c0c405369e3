//! Health of a server as its status tells it: the last probe of the control plane, and the calls of the proxies. What commands
//! say of a server is derived here.

use serde_json::Value;

use crate::cli::{client::probe_result, output::cell};

/// Health of a server as one proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerObservation {
    /// Id of the proxy.
    pub proxy: String,
    /// True while the server fails.
    pub is_failing: bool,
    /// True if the server refuses the credential.
    pub is_unauthorized: bool,
    /// Start of the last failure in Unix milliseconds.
    pub failing_since: u64,
    /// End of that failure, if it has ended.
    pub recovered: Option<u64>,
    /// Description of the failure.
    pub cause: String,
}

/// Returns what the proxies see of a server that fails, or has failed lately.
pub fn observations(server: &Value) -> Vec<ServerObservation> {
    let proxies = server.pointer("/status/proxies").and_then(Value::as_array);
    let observation = |it: &Value| {
        let time = |member: &str| it[member].as_str().and_then(cell::parse_timestamp);
        let state = cell::enum_word(it, "/state", "unavailable");
        let cause = match it["detail"].as_str() {
            None | Some("") => cell::text(it, "/failure"),
            Some(detail) => detail.to_owned(),
        };
        ServerObservation {
            proxy: cell::text(it, "/proxy"),
            is_failing: state != "available",
            is_unauthorized: state == "unauthorized",
            failing_since: time("failingSinceTime").unwrap_or_default(),
            recovered: time("recoverTime"),
            cause,
        }
    };
    proxies.into_iter().flatten().map(observation).collect()
}

/// Summarizes the view of the proxies for a table: `ok`, or the proxies for which the server fails.
pub fn cell(server: &Value) -> String {
    let failing = failing(server);
    match failing.is_empty() {
        true => "ok".to_owned(),
        false => {
            let proxies: Vec<_> = failing.into_iter().map(|it| it.proxy).collect();
            format!("fails: {}", proxies.join(","))
        }
    }
}

/// Describes what one proxy sees.
pub fn describe(seen: &ServerObservation, now: u64) -> String {
    let ago = |at: u64| cell::format_duration(now.saturating_sub(at) / 1000);
    match seen.recovered.filter(|_| !seen.is_failing) {
        Some(recovered) => {
            let lasted = recovered.saturating_sub(seen.failing_since) / 1000;
            format!(
                "ok again since {}, after {}: {}",
                ago(recovered),
                cell::format_duration(lasted),
                seen.cause
            )
        }
        None => format!("fails since {}: {}", ago(seen.failing_since), seen.cause),
    }
}

/// Describes the failure of a server for proxies; `None` if it fails for none.
pub fn failure_at_proxies(server: &Value) -> Option<String> {
    let failing = failing(server);
    let first = failing.first()?;
    let proxies: Vec<_> = failing.iter().map(|it| it.proxy.as_str()).collect();
    let noun = if proxies.len() == 1 {
        "proxy"
    } else {
        "proxies"
    };
    Some(format!(
        "it fails for {noun} {}: {}",
        proxies.join(", "),
        first.cause
    ))
}

/// Returns the reason why a server is not ready: it was not probed yet, its last probe failed, or it fails for proxies. A
/// warning of the probe about what the server offers is no such reason.
pub fn problem(server: &Value) -> Option<String> {
    let probe = probe_result::problem(&server["status"]);
    if let Some(problem) = probe.filter(|problem| !probe_result::is_warning(problem)) {
        return Some(problem.text);
    }
    match server["status"]["seen"] == true {
        true => failure_at_proxies(server),
        false => Some("it is not probed yet".to_owned()),
    }
}

/// Returns what a server that is ready leaves out: the warning of its probe, and the lists that a limit cuts.
pub fn warnings(server: &Value) -> Vec<String> {
    let status = &server["status"];
    let warning = probe_result::problem(status).filter(probe_result::is_warning);
    let omissions = status["omissions"].as_array().into_iter().flatten();
    let omissions = omissions.filter_map(Value::as_str).map(str::to_owned);
    let warning = warning.map(|problem| problem.text);
    warning.into_iter().chain(omissions).collect()
}

fn failing(server: &Value) -> Vec<ServerObservation> {
    let mut seen = observations(server);
    seen.retain(|it| it.is_failing);
    seen
}

#[cfg(test)]
mod tests;
