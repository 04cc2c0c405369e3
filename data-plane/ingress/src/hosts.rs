//! Check of `Host` against DNS rebinding: a web page can make a browser reach any address under a name of its choice. The
//! check is always on.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Uri, header};
use toolgate_data_core::Refusal;

/// Allowlist of the host names under which the listener may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAllowlist {
    patterns: Vec<HostPattern>,
}

/// Host name, with a port if only that port is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPattern {
    host: String,
    port: Option<u16>,
}

/// Error of an entry that is not a host name, with the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host name, with or without a port (for example mcp.example.com or 10.0.0.7:8443)"
)]
pub struct InvalidHost(String);

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl HostAllowlist {
    /// Creates the list of the loopback names, the listen address and `public`: `host` (any port) or `host:port`.
    pub fn new<'a>(
        listen: SocketAddr,
        public: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidHost> {
        let loopback = LOOPBACK.map(|host| HostPattern {
            host: host.to_owned(),
            port: None,
        });
        let mut names = Vec::from(loopback);
        if !listen.ip().is_unspecified() {
            let text = match listen.ip() {
                std::net::IpAddr::V4(ip) => ip.to_string(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            };
            names.push(HostPattern {
                host: text,
                port: None,
            });
        }
        for name in public {
            let invalid = || InvalidHost(name.chars().take(128).collect());
            let (host, port) = split_authority(name).ok_or_else(invalid)?;
            let host = host.to_ascii_lowercase();
            names.push(HostPattern { host, port });
        }
        Ok(Self { patterns: names })
    }

    /// Returns an error unless the host of the request is on the list.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return Err(Refusal::Host);
        }
        // HTTP/2 and absolute-form targets name the host in the target; a `Host` field beside it must be equal.
        let target = uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        match (target, host) {
            (Some(target), Some(host)) if !target.eq_ignore_ascii_case(host) => {
                return Err(Refusal::Host);
            }
            (Some(name), _) | (None, Some(name)) if self.is_allowed(name) => {}
            (Some(_) | None, Some(_) | None) => return Err(Refusal::Host),
        }
        Ok(())
    }

    /// Returns `true` if this authority, `host` or `host:port`, is on the list.
    pub(crate) fn is_allowed(&self, name: &[u8]) -> bool {
        let name = std::str::from_utf8(name).ok().and_then(split_authority);
        name.is_some_and(|(host, port)| {
            self.patterns.iter().any(|known| {
                known.host.eq_ignore_ascii_case(host)
                    && known.port.is_none_or(|only| port == Some(only))
            })
        })
    }
}

/// Splits an authority into host and port. Returns `None` for anything more, such as userinfo, a path or spaces.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok()?)
        }
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._[]:".contains(&c);
    (!host.is_empty() && host.bytes().all(allowed)).then_some((host, port))
}

#[cfg(test)]
mod tests;
