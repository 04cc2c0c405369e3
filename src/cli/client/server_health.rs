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
    /// Description of the failure; `-` for a server that has not failed.
    pub cause: String,
    /// True unless the server itself has never failed, and only an endpoint of it does.
    pub has_failed: bool,
}

/// Endpoint of a server, with the proxies whose calls avoid it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEndpoint {
    /// URL, with the region if it has one.
    pub label: String,
    /// Proxies for which it fails.
    pub proxies: Vec<String>,
    /// Start of the first of these failures in Unix milliseconds.
    pub failing_since: u64,
    /// Description of this failure.
    pub cause: String,
}

/// Returns what the proxies see of a server that fails, or has failed lately.
pub fn observations(server: &Value) -> Vec<ServerObservation> {
    let proxies = server.pointer("/status/proxies").and_then(Value::as_array);
    let observation = |it: &Value| {
        let time = |member: &str| it[member].as_str().and_then(cell::parse_timestamp);
        let state = cell::enum_word(it, "/state", "unavailable");
        let cause = cause(it);
        ServerObservation {
            proxy: cell::text(it, "/proxy"),
            is_failing: state != "available",
            is_unauthorized: state == "unauthorized",
            failing_since: time("failingSinceTime").unwrap_or_default(),
            recovered: time("recoverTime"),
            has_failed: state != "available" || time("recoverTime").is_some(),
            cause,
        }
    };
    proxies.into_iter().flatten().map(observation).collect()
}

/// Returns the endpoints of a server that has several, in order, with what the proxies see of them.
pub fn endpoints(server: &Value) -> Vec<ObservedEndpoint> {
    let listed = server.pointer("/spec/endpoints").and_then(Value::as_array);
    let listed = listed.map_or(&[][..], Vec::as_slice);
    if listed.len() < 2 {
        return Vec::new();
    }
    let proxies = server.pointer("/status/proxies").and_then(Value::as_array);
    let proxies = proxies.map_or(&[][..], Vec::as_slice);
    listed
        .iter()
        .map(|it| observed_endpoint(it, proxies))
        .collect()
}

fn observed_endpoint(endpoint: &Value, proxies: &[Value]) -> ObservedEndpoint {
    let url = cell::text(endpoint, "/url");
    let region = endpoint["region"].as_str().unwrap_or_default();
    let mut observed = ObservedEndpoint {
        label: match region.is_empty() {
            true => url.clone(),
            false => format!("{url} (region {region})"),
        },
        proxies: Vec::new(),
        failing_since: u64::MAX,
        cause: String::new(),
    };
    for proxy in proxies {
        let failing = proxy["endpoints"].as_array().into_iter().flatten();
        // No two endpoints of a server have the same URL.
        let Some(failed) = failing.into_iter().find(|it| it["url"] == endpoint["url"]) else {
            continue;
        };
        observed.proxies.push(cell::text(proxy, "/proxy"));
        let since = failed["failingSinceTime"].as_str();
        let since = since.and_then(cell::parse_timestamp).unwrap_or_default();
        if since < observed.failing_since {
            (observed.failing_since, observed.cause) = (since, cause(failed));
        }
    }
    observed
}

impl ObservedEndpoint {
    /// Returns `true` if calls of a proxy avoid it.
    pub fn is_failing(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// Describes the state: `ok`, or the proxies for which it fails, and the cause.
    pub fn describe(&self, now: u64) -> String {
        if !self.is_failing() {
            return "ok".to_owned();
        }
        let since = now.saturating_sub(self.failing_since) / 1000;
        format!(
            "fails for {} since {}: {}",
            counted_proxies(&self.proxies),
            cell::format_duration(since),
            self.cause
        )
    }
}

/// Returns a warning about each endpoint that fails, of a server that answers at another one.
pub fn endpoint_warnings(server: &Value) -> impl Iterator<Item = String> {
    let failing = endpoints(server)
        .into_iter()
        .filter(ObservedEndpoint::is_failing);
    failing.map(|it| {
        let proxies = counted_proxies(&it.proxies);
        format!(
            "its endpoint {} fails for {proxies}: {}",
            it.label, it.cause
        )
    })
}

fn counted_proxies(proxies: &[String]) -> String {
    let noun = if proxies.len() == 1 {
        "proxy"
    } else {
        "proxies"
    };
    format!("{noun} {}", proxies.join(", "))
}

fn cause(failure: &Value) -> String {
    match failure["detail"].as_str() {
        None | Some("") => cell::text(failure, "/failure"),
        Some(detail) => detail.to_owned(),
    }
}

/// Summarizes the view of the proxies for a table: `ok`, the proxies for which the server fails, or the number of endpoints that
/// fail.
pub fn cell(server: &Value) -> String {
    let failing = failing(server);
    let endpoints = endpoints(server);
    let failed = endpoints.iter().filter(|it| it.is_failing()).count();
    match failing.is_empty() {
        true if failed > 0 => {
            let verb = if failed == 1 { "fails" } else { "fail" };
            format!("{failed} of {} endpoints {verb}", endpoints.len())
        }
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
        None if !seen.has_failed => "ok, but an endpoint fails".to_owned(),
        None => format!("fails since {}: {}", ago(seen.failing_since), seen.cause),
    }
}

/// Describes the failure of a server for proxies; `None` if it fails for none.
pub fn failure_at_proxies(server: &Value) -> Option<String> {
    let failing = failing(server);
    let first = failing.first()?;
    let proxies: Vec<_> = failing.iter().map(|it| it.proxy.clone()).collect();
    let proxies = counted_proxies(&proxies);
    Some(format!("it fails for {proxies}: {}", first.cause))
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

/// Returns what a server that is ready lacks: the warning of its probe, the lists that a limit cuts, and the endpoints that
/// fail.
pub fn warnings(server: &Value) -> Vec<String> {
    let status = &server["status"];
    let warning = probe_result::problem(status).filter(probe_result::is_warning);
    let omissions = status["omissions"].as_array().into_iter().flatten();
    let omissions = omissions.filter_map(Value::as_str).map(str::to_owned);
    let warning = warning.map(|problem| problem.text);
    warning
        .into_iter()
        .chain(omissions)
        .chain(endpoint_warnings(server))
        .collect()
}

fn failing(server: &Value) -> Vec<ServerObservation> {
    let mut seen = observations(server);
    seen.retain(|it| it.is_failing);
    seen
}

#[cfg(test)]
mod tests;
