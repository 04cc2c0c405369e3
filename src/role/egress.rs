//! Converts settings to the policy of outbound connections.

use std::env;

use anyhow::Context as _;
use ipnet::IpNet;
use toolgate_egress::{EgressPolicy, ForwardProxies, ForwardProxySettings};
use toolgate_runtime::tls;

use super::options::EgressOptions;

/// Loopback networks, which `up` allows by default.
pub const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Builds the policy. `loopback` allows the loopback networks.
pub fn policy(options: &EgressOptions, loopback: bool) -> anyhow::Result<EgressPolicy> {
    let ourselves = LOOPBACK
        .iter()
        .filter(|_| loopback)
        .map(|network| network.parse::<IpNet>());
    let ourselves = ourselves.collect::<Result<Vec<_>, _>>()?;
    let extra_roots = match &options.ca {
        Some(file) => tls::certificates_from(file).context("--egress-ca")?,
        None => Vec::new(),
    };
    Ok(EgressPolicy {
        allow_networks: options.allow.iter().copied().chain(ourselves).collect(),
        allow_plain_http: options.plain_http,
        extra_roots,
        proxies: forward_proxies(options)?,
    })
}

/// Reads the proxies. Programs disagree on the case of the variables; a flag, and the upper case, come first.
fn forward_proxies(options: &EgressOptions) -> anyhow::Result<ForwardProxies> {
    let value = |given: &Option<String>, variable| match given {
        Some(given) => given.trim().to_owned(),
        None => env::var(variable).unwrap_or_default().trim().to_owned(),
    };
    let settings = ForwardProxySettings {
        https: value(&options.https_proxy, "https_proxy"),
        http: value(&options.http_proxy, "http_proxy"),
        all: value(&options.all_proxy, "all_proxy"),
        no: value(&options.no_proxy, "no_proxy"),
    };
    let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
    let proxies = ForwardProxies::new(&settings, names)?;
    if !proxies.is_empty() {
        tracing::info!(%proxies, "servers are reached through a proxy");
    }
    Ok(proxies)
}

#[cfg(test)]
mod tests;
