//! Check of `Host` against DNS rebinding: a web page can make a browser reach any address under a name of its choice. The
//! check is always on, at the listener for clients, the admin API and the private port.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};

use crate::metrics::Metrics;

mod refusals;

use refusals::HostRefusals;

/// Allowlist of the host names under which a listener may be called.
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

/// Error of a request whose host is not on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this host is not served here")]
pub struct ForbiddenHost;

/// Hosts of a listener, with the setting that adds to them. Refused requests are logged, and counted with
/// [`with_metrics`](Self::with_metrics).
#[derive(Debug, Clone)]
pub struct HostPolicy {
    allowed: Arc<HostAllowlist>,
    /// Setting, as the error names it.
    setting: &'static str,
    /// True if the listener has all addresses of the machine.
    has_all_addresses: bool,
    refusals: Arc<HostRefusals>,
}

/// gRPC status code of a refused host.
const PERMISSION_DENIED: HeaderValue = HeaderValue::from_static("7");

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
            names.push(HostPattern::of_address(listen.ip()));
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
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ForbiddenHost> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return Err(ForbiddenHost);
        }
        // HTTP/2 and absolute-form targets name the host in the target; a `Host` field beside it must be equal.
        let target = uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        match (target, host) {
            (Some(target), Some(host)) if !target.eq_ignore_ascii_case(host) => {
                return Err(ForbiddenHost);
            }
            (Some(name), _) | (None, Some(name)) if self.is_allowed(name) => {}
            (Some(_) | None, Some(_) | None) => return Err(ForbiddenHost),
        }
        Ok(())
    }

    /// Returns `true` if this authority, `host` or `host:port`, is on the list.
    pub fn is_allowed(&self, name: &[u8]) -> bool {
        let name = std::str::from_utf8(name).ok().and_then(split_authority);
        name.is_some_and(|(host, port)| {
            self.patterns.iter().any(|known| {
                known.host.eq_ignore_ascii_case(host)
                    && known.port.is_none_or(|only| port == Some(only))
            })
        })
    }
}

impl HostPattern {
    fn of_address(address: IpAddr) -> Self {
        let host = match address {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: None }
    }
}

impl HostPolicy {
    /// Creates the policy of the listener at `listen` that is also called by these names.
    pub fn new<'a>(
        listen: SocketAddr,
        names: impl IntoIterator<Item = &'a str>,
        setting: &'static str,
    ) -> Result<Self, InvalidHost> {
        Ok(Self {
            allowed: Arc::new(HostAllowlist::new(listen, names)?),
            setting,
            has_all_addresses: listen.ip().is_unspecified(),
            refusals: Arc::new(HostRefusals::new(setting)),
        })
    }

    /// Counts the refusals of this listener.
    #[must_use]
    pub fn with_metrics(mut self, listener: &'static str, metrics: &Metrics) -> Self {
        self.refusals = Arc::new(HostRefusals::with_metrics(listener, metrics));
        self
    }

    /// Returns the policy for a connection that arrived at `local`: a listener of all addresses has many of its own.
    #[must_use]
    pub fn at(&self, local: IpAddr) -> Self {
        let mut policy = self.clone();
        if self.has_all_addresses {
            let mut allowed = self.allowed.as_ref().clone();
            allowed
                .patterns
                .push(HostPattern::of_address(local.to_canonical()));
            policy.allowed = Arc::new(allowed);
        }
        policy
    }

    /// Returns the hosts that are served.
    pub fn allowed(&self) -> &HostAllowlist {
        &self.allowed
    }

    /// Returns an error unless the host of the request is served here. A refused request is recorded.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ForbiddenHost> {
        let checked = self.allowed.check(uri, headers);
        if checked.is_err() {
            self.refusals.record(uri, headers, self.setting);
        }
        checked
    }

    /// Returns the response to a request whose host is not served here, as a client of HTTP or of gRPC reads it.
    ///
    /// A request without any host passes: health checks of balancers have none, and browsers always send one.
    pub fn refusal<B: From<String>>(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response<B>> {
        let is_absent = uri.authority().is_none() && !headers.contains_key(header::HOST);
        if is_absent {
            return None;
        }
        let forbidden = self.check(uri, headers).err()?;
        let text = format!("{forbidden}; `{}` names those that are", self.setting);
        let is_grpc = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|media| media.as_bytes().starts_with(b"application/grpc"));
        let reason = HeaderValue::from_str(&text);
        let mut response = Response::new(B::from(format!("{text}\n")));
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, plain);
        if let (true, Ok(reason)) = (is_grpc, reason) {
            fields.insert("grpc-status", PERMISSION_DENIED);
            fields.insert("grpc-message", reason);
        }
        Some(response)
    }
}

/// Splits an authority into host and port. Returns `None` for anything more, such as userinfo, a path or spaces.
pub fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
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
