//! Domains below which hosts have different owners, so that a wildcard of them would send a credential to strangers.

use std::fmt;

/// Services that answer for every name below their domain, most of them with the IP address that is written in the name, or
/// that lend such names. Some are not in the public suffix list, and some are not in each of its versions.
const SERVICES: [&str; 28] = [
    "1u.ms",
    "backname.io",
    "duckdns.org",
    "lacolhost.com",
    "lhr.life",
    "loca.lt",
    "local.gd",
    "localhost.run",
    "localtest.me",
    "loclx.io",
    "lvh.me",
    "nip.io",
    "pinggy.link",
    "plex.direct",
    "pagekite.me",
    "rbndr.us",
    "serveo.net",
    "serveousercontent.com",
    "sslip.io",
    "telebit.io",
    "traefik.me",
    "trycloudflare.com",
    "tunnelmole.net",
    "tunnelto.dev",
    "vcap.me",
    "workers.dev",
    "xip.io",
    "xip.name",
];

/// Domain below which hosts have different owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedDomain<'a> {
    /// Entry of the public suffix list, its private section included, such as `co.uk` or `github.io`.
    PublicSuffix(&'a str),
    /// Domain whose subdomains are public suffixes, such as `compute.amazonaws.com`.
    AbovePublicSuffixes(&'a str),
    /// Domain of a service, or a domain below it.
    Service(&'static str),
}

impl<'a> SharedDomain<'a> {
    /// Returns how the hosts of one label below `domain` are shared; `None` if one owner has them all. Names without an entry
    /// in a list, such as those of a private network, are not shared.
    pub(super) fn of(domain: &'a str) -> Option<Self> {
        let of_service = |service: &&&'static str| {
            let below = domain.strip_suffix(**service);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        };
        if let Some(service) = SERVICES.iter().find(of_service) {
            return Some(Self::Service(service));
        }
        if is_public_suffix(domain) {
            return Some(Self::PublicSuffix(domain));
        }
        let below = format!("w.{domain}");
        is_public_suffix(&below).then_some(Self::AbovePublicSuffixes(domain))
    }
}

/// Returns `true` for an entry of the public suffix list.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain)
}

impl fmt::Display for SharedDomain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicSuffix(suffix) => write!(
                f,
                "`{suffix}` is a public suffix; name the host, or a wildcard below one domain, e.g. \
                 `https://*.example.{suffix}`"
            ),
            Self::AbovePublicSuffixes(domain) => write!(
                f,
                "the domains below `{domain}` are public suffixes; name the host, or a wildcard below a domain of one owner"
            ),
            Self::Service(service) => write!(
                f,
                "other parties get hosts below `{service}`, a service that lends names; name the host"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
