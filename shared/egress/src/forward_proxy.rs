//! Forward proxies: the proxy that the operator sets for connections to servers, as curl and other programs read it from
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
//!
//! An https URL is reached through a tunnel (`CONNECT`), so that the proxy sees host and port only. A request to an http URL
//! is given to the proxy as a whole.

use std::{fmt, future::poll_fn, io, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::{
    client::proxy::matcher::{Intercept, Matcher},
    rt::TokioIo,
};
use tokio::net::TcpStream;

use crate::{PRODUCT, chain};

/// Maximum size of a proxy's response head in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Port of a proxy if its URL names none.
const DEFAULT_PORT: u16 = 80;
/// Hosts that are never reached through a proxy: to a proxy they name another machine.
const OWN_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Proxies for connections to servers, and the hosts that are reached without. The default has no proxy.
#[derive(Clone, Default)]
pub struct ForwardProxies(Option<Arc<Matcher>>);

/// Values of the settings, each as the usual variable has it; empty if it is not set.
#[derive(Clone, Default)]
pub struct ForwardProxySettings {
    /// Proxy for https URLs.
    pub https: String,
    /// Proxy for http URLs.
    pub http: String,
    /// Proxy for URLs of both schemes without one of their own.
    pub all: String,
    /// Hosts that are reached directly: names with their subdomains, addresses, networks, or `*`.
    pub no: String,
}

/// Error of a setting that names no proxy that can be used. It does not contain the value, which may have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the URL of a proxy: http://[USER:PASSWORD@]HOST:PORT, without a path; proxies over TLS or SOCKS cannot be used, and an empty value means no proxy"
)]
pub struct InvalidForwardProxy(pub &'static str);

/// Proxy that a connection goes through.
#[derive(Clone)]
pub(crate) struct ForwardProxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Reason why there is no connection through a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ForwardProxyProblem {
    /// There is no connection to the proxy itself.
    #[error("cannot connect to it: {0}")]
    Connect(io::Error),
    /// The proxy asks for a user and a password, or does not accept those of the setting.
    #[error("it answered HTTP {0}: its URL has to hold a user name and a password that it accepts")]
    Credentials(u16),
    /// The proxy refused the connection to the server.
    #[error("it answered HTTP {status} to CONNECT {target}")]
    Refused {
        /// Status of its response.
        status: u16,
        /// Host and port of the server.
        target: String,
    },
    /// The tunnel was not established in time.
    #[error("timed out")]
    TimedOut,
    /// The proxy does not answer as a proxy does.
    #[error("it did not open a tunnel: {0}")]
    Broken(String),
}

impl ForwardProxies {
    /// Reads the settings. `names` are the names of the three proxies for errors: https, http, all.
    pub fn new(
        settings: &ForwardProxySettings,
        names: [&'static str; 3],
    ) -> Result<Self, InvalidForwardProxy> {
        let ForwardProxySettings {
            https,
            http,
            all,
            no,
        } = settings;
        for (value, name) in [https, http, all].into_iter().zip(names) {
            if !value.is_empty() && !is_http_proxy(value) {
                return Err(InvalidForwardProxy(name));
            }
        }
        // The matcher does not apply `*` to addresses.
        let excepts_all = no.split(',').any(|entry| entry.trim() == "*");
        if excepts_all || [https, http, all].into_iter().all(String::is_empty) {
            return Ok(Self::default());
        }
        let matcher = Matcher::builder()
            .https(https.as_str())
            .http(http.as_str())
            .all(all.as_str())
            .no(no.as_str())
            .build();
        Ok(Self(Some(Arc::new(matcher))))
    }

    /// Returns `true` if every URL is reached directly.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the proxy for a URL, or `None` if it is reached directly.
    pub(crate) fn of(&self, uri: &Uri) -> Option<ForwardProxy> {
        let matcher = self.0.as_ref()?;
        let host = uri.host()?;
        if OWN_HOSTS.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return None;
        }
        matcher.intercept(uri).as_ref().and_then(ForwardProxy::of)
    }
}

/// Returns `true` for the URL of an HTTP proxy; the scheme may be absent.
fn is_http_proxy(value: &str) -> bool {
    value.parse::<Uri>().is_ok_and(|uri| {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.host().filter(|host| !host.is_empty());
        host.is_some() && matches!(uri.scheme_str(), None | Some("http")) && path == "/"
    })
}

impl ForwardProxy {
    fn of(intercept: &Intercept) -> Option<Self> {
        let host = intercept.uri().host()?;
        Some(Self {
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: intercept.uri().port_u16().unwrap_or(DEFAULT_PORT),
            authorization: intercept.basic_auth().cloned(),
        })
    }

    /// Opens a tunnel to `target` (`host:port`) on a connection to this proxy.
    pub(crate) async fn tunnel(
        &self,
        tcp: TcpStream,
        target: &str,
    ) -> Result<TcpStream, ForwardProxyProblem> {
        let broken = |error: hyper::Error| ForwardProxyProblem::Broken(chain(&error));
        let invalid = |error: http::Error| ForwardProxyProblem::Broken(error.to_string());
        let uri = Uri::builder().authority(target).build().map_err(invalid)?;
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .header(header::HOST, target)
            .header(header::USER_AGENT, PRODUCT);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(invalid)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let (mut sender, mut connection) =
            builder.handshake(TokioIo::new(tcp)).await.map_err(broken)?;
        let response = {
            let mut sent = pin!(sender.send_request(request));
            let mut driven = pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
            tokio::select! {
                biased;
                response = &mut sent => response,
                _ended_or_tunnel = &mut driven => sent.await,
            }
        };
        let status = response.map_err(broken)?.status();
        match status.as_u16() {
            // Some proxies answer 401 to a wrong password.
            status @ (401 | 407) => return Err(ForwardProxyProblem::Credentials(status)),
            status @ (0..200 | 300..) => {
                let target = target.to_owned();
                return Err(ForwardProxyProblem::Refused { status, target });
            }
            _ => {}
        }
        let parts = connection.into_parts();
        if !parts.read_buf.is_empty() {
            let early = "it sent data before the tunnel was used".to_owned();
            return Err(ForwardProxyProblem::Broken(early));
        }
        Ok(parts.io.into_inner())
    }
}

impl fmt::Display for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for ForwardProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scheme, uri) in [
            ("https", Uri::from_static("https://server.invalid/")),
            ("; http", Uri::from_static("http://server.invalid/")),
        ] {
            match self.of(&uri) {
                Some(proxy) => write!(f, "{scheme}: {proxy}")?,
                None => write!(f, "{scheme}: none")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ForwardProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The matcher leaves out users and passwords.
        f.debug_tuple("ForwardProxies").field(&self.0).finish()
    }
}

impl fmt::Debug for ForwardProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs of proxies may have passwords.
        f.debug_struct("ForwardProxySettings")
            .field("no", &self.no)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
