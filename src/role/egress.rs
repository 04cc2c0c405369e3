//! Converts settings to the policy of outbound connections.

use anyhow::Context as _;
use ipnet::IpNet;
use toolgate_egress::EgressPolicy;
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
    })
}

#[cfg(test)]
mod tests;
