//! Origin patterns: where the value of a credential may be sent.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Origin such as `https://api.example.com:8443`, or all origins of one label below a domain, such as
/// `https://*.example.com`. A wildcard stands for exactly one label, as in certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPattern {
    scheme: OriginScheme,
    host: HostPattern,
    port: u16,
}

/// Origins that the value of a credential may be sent to. A credential written by a build that knew no origins has
/// none: it is not bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialHosts(Vec<OriginPattern>);

/// Error of an origin pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOriginPattern {
    /// The scheme is missing or unknown.
    #[error(
        "begins with neither https:// nor http://: write an origin, e.g. `https://api.example.com`"
    )]
    Scheme,
    /// The pattern contains more than an origin.
    #[error(
        "contains more than scheme, host and port: write the origin only, e.g. `https://api.example.com`"
    )]
    NotAnOrigin,
    /// The host or the port is invalid.
    #[error("has no valid host and port: write an origin, e.g. `https://api.example.com:8443`")]
    Host,
    /// The wildcard is not the first label of a domain with at least two more.
    #[error(
        "has `*` in a place where it is not supported: it stands for the first label of a domain, e.g. \
         `https://*.example.com`"
    )]
    Wildcard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum OriginScheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum HostPattern {
    /// Domain or IP address.
    Exact(Host),
    /// Names of one label below this domain.
    Subdomain(String),
}

impl OriginPattern {
    /// Returns the origin of `url`; `None` if it is not an http or https URL.
    pub fn of_url(url: &Url) -> Option<Self> {
        Some(Self {
            scheme: OriginScheme::of(url.scheme())?,
            host: HostPattern::Exact(host(url)?),
            port: url.port_or_known_default()?,
        })
    }

    /// Returns the domain whose subdomains the pattern matches; `None` if it has no wildcard.
    pub fn wildcard_domain(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Exact(_) => None,
            HostPattern::Subdomain(domain) => Some(domain),
        }
    }

    /// Returns `true` if `url` has an origin of this pattern. A URL with a user or a password never has.
    pub fn matches(&self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        plain
            && OriginScheme::of(url.scheme()) == Some(self.scheme)
            && url.port_or_known_default() == Some(self.port)
            && host(url).is_some_and(|host| self.host.matches(&host))
    }
}

impl CredentialHosts {
    /// Creates a set of patterns. Without any, the credential is not bound.
    pub fn new(patterns: Vec<OriginPattern>) -> Self {
        Self(patterns)
    }

    /// Returns `true` if the credential is bound to origins.
    pub fn is_bound(&self) -> bool {
        !self.0.is_empty()
    }

    /// Returns the patterns as given.
    pub fn patterns(&self) -> &[OriginPattern] {
        &self.0
    }

    /// Returns `true` if a pattern matches `url`.
    pub fn matches(&self, url: &Url) -> bool {
        self.0.iter().any(|pattern| pattern.matches(url))
    }

    /// Returns `true` if the value may be sent to `url`: a pattern matches, or the credential is not bound and
    /// therefore goes wherever the servers that refer to it are.
    pub fn permits(&self, url: &Url) -> bool {
        !self.is_bound() || self.matches(url)
    }
}

impl HostPattern {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(own), host) => own == host,
            (Self::Subdomain(domain), Host::Domain(given)) => given
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
            (Self::Subdomain(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

impl OriginScheme {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Returns the host of a URL without the dot of the DNS root, which names the same host.
fn host(url: &Url) -> Option<Host> {
    match url.host()? {
        Host::Domain(domain) => {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            let labels = !domain.split('.').any(str::is_empty);
            labels.then(|| Host::Domain(domain.to_owned()))
        }
        Host::Ipv4(address) => Some(Host::Ipv4(address)),
        Host::Ipv6(address) => Some(Host::Ipv6(address)),
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidOriginPattern;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = given
            .split_once("://")
            .ok_or(InvalidOriginPattern::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let scheme = OriginScheme::of(&scheme).ok_or(InvalidOriginPattern::Scheme)?;
        let beyond = |c: char| c.is_control() || c.is_whitespace() || "/\\?#@%".contains(c);
        if authority.contains(beyond) {
            return Err(InvalidOriginPattern::NotAnOrigin);
        }
        let below = authority.strip_prefix("*.");
        if below.unwrap_or(authority).contains('*') {
            return Err(InvalidOriginPattern::Wildcard);
        }
        // A URL parser gives the host the form that it has in the URLs of servers. The label in place of the wildcard
        // keeps an address from being taken for a domain.
        let authority = below.map_or_else(|| authority.to_owned(), |below| format!("w.{below}"));
        let url = format!("{}://{authority}", scheme.as_str());
        let url: Url = url.parse().map_err(|_| InvalidOriginPattern::Host)?;
        let exact = Self::of_url(&url).ok_or(InvalidOriginPattern::Host)?;
        if below.is_none() {
            return Ok(exact);
        }
        let HostPattern::Exact(Host::Domain(domain)) = &exact.host else {
            return Err(InvalidOriginPattern::Wildcard);
        };
        let domain = domain.strip_prefix("w.");
        let domain = domain.filter(|domain| domain.contains('.'));
        let domain = domain.ok_or(InvalidOriginPattern::Wildcard)?;
        let host = HostPattern::Subdomain(domain.to_owned());
        Ok(Self { host, ..exact })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostPattern::Exact(host) => write!(f, "{host}")?,
            HostPattern::Subdomain(domain) => write!(f, "*.{domain}")?,
        }
        if self.port == self.scheme.default_port() {
            return Ok(());
        }
        write!(f, ":{}", self.port)
    }
}

impl fmt::Display for CredentialHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{pattern}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = InvalidOriginPattern;

    fn try_from(given: String) -> Result<Self, Self::Error> {
        given.parse()
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests;
