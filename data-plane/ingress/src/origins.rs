//! Origins of web pages: the check of `Origin`, and cross-origin resource sharing (CORS) for clients in browsers.
//!
//! Cookies are never used, so no response allows credentials: a page has to hold a token of its own.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use toolgate_data_core::Refusal;
use toolgate_runtime::hosts::{HostAllowlist, split_authority};

use crate::{body::ResponseBody, response::empty_response};

/// Methods of a gateway's path.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// Response headers that a page may read in addition to the CORS-safelisted ones.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After");
/// Time for which a browser may keep the answer to a preflight, in seconds; browsers keep it for two hours at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// `Vary` value of every response of a listener that shares with other origins.
const VARY: HeaderValue = HeaderValue::from_static("Origin");
/// Maximum length of the list of request headers that a preflight may ask for.
const REQUEST_HEADERS_LIMIT: usize = 4096;

/// Origins of the web pages that may use the listener from a browser. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginAllowlist {
    any: bool,
    patterns: Vec<WebOrigin>,
}

/// Allowed origin, with every port or with exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WebOrigin {
    scheme: String,
    host: String,
    port: OriginPort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OriginPort {
    Any,
    /// The port as written; `None` is the default port of the scheme.
    Only(Option<u16>),
}

/// Error of an entry that is not an origin, with the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an origin: scheme, host and, if it is not the default, port, without a path (for example https://app.example.com, http://localhost:* for every port, or * for every origin)"
)]
pub struct InvalidOrigin(String);

/// Headers that let a page read a response, or their absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CorsGrant {
    /// The listener shares with no origin.
    Off,
    /// The request has no origin on the list.
    Withheld,
    /// The value of `Access-Control-Allow-Origin`.
    Shared(HeaderValue),
}

impl OriginAllowlist {
    /// Creates the list of `origins`: `scheme://host[:port]`, `scheme://host:*` for every port, or `*` for every origin.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidOrigin> {
        let mut list = Self::default();
        for text in origins {
            if text == "*" {
                list.any = true;
                continue;
            }
            let invalid = || InvalidOrigin(text.chars().take(128).collect());
            list.patterns
                .push(WebOrigin::pattern(text).ok_or_else(invalid)?);
        }
        Ok(list)
    }

    fn is_empty(&self) -> bool {
        !self.any && self.patterns.is_empty()
    }

    /// Returns an error if the request has an origin that is neither on this list nor one of the listener's own hosts. An
    /// opaque origin (`null`) and a repeated header are always refused.
    pub(crate) fn check(&self, headers: &HeaderMap, hosts: &HostAllowlist) -> Result<(), Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if self.admits(origin) || is_own(origin, hosts) => Ok(()),
            (Some(_), Some(_) | None) => Err(Refusal::Origin),
        }
    }

    /// Returns the grant for a request with these headers.
    pub(crate) fn grant(&self, headers: &HeaderMap) -> CorsGrant {
        if self.is_empty() {
            return CorsGrant::Off;
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if self.admits(origin) => CorsGrant::Shared(match self.any {
                true => HeaderValue::from_static("*"),
                false => detached(origin),
            }),
            _ => CorsGrant::Withheld,
        }
    }

    fn admits(&self, origin: &HeaderValue) -> bool {
        let parsed = origin.to_str().ok().and_then(WebOrigin::parse);
        parsed.is_some_and(|origin| {
            let same = |known: &WebOrigin| {
                known.scheme == origin.scheme
                    && known.host == origin.host
                    && (known.port == OriginPort::Any || known.port == origin.port)
            };
            self.any || self.patterns.iter().any(same)
        })
    }
}

impl WebOrigin {
    /// Parses an entry of the list.
    fn pattern(text: &str) -> Option<Self> {
        match text.strip_suffix(":*") {
            Some(rest) => {
                let origin = Self::parse(rest)?;
                (origin.port == OriginPort::Only(None)).then_some(Self {
                    port: OriginPort::Any,
                    ..origin
                })
            }
            None => Self::parse(text),
        }
    }

    /// Parses an origin as browsers send it.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        let (host, port) = split_authority(authority).filter(|_| is_scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self {
            port: OriginPort::Only(port.filter(|port| Some(*port) != default_port)),
            host: host.to_ascii_lowercase(),
            scheme,
        })
    }
}

/// Returns `true` for an origin of one of the listener's own host names.
fn is_own(origin: &HeaderValue, hosts: &HostAllowlist) -> bool {
    let origin = origin.as_bytes();
    let rest = origin.strip_prefix(b"http://");
    let rest = rest.or_else(|| origin.strip_prefix(b"https://"));
    rest.is_some_and(|authority| hosts.is_allowed(authority))
}

/// Copies a value, which would otherwise keep the read buffer of its connection.
fn detached(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

impl CorsGrant {
    /// Adds the headers of the grant to a response.
    pub(crate) fn apply<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        match self {
            Self::Off => {}
            Self::Withheld => {
                headers.append(header::VARY, VARY);
            }
            Self::Shared(origin) => {
                headers.append(header::VARY, VARY);
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }

    /// Returns the response to the request if it is a preflight. No token is needed and no gateway is looked up, so the
    /// response is the same for every path.
    pub(crate) fn preflight<S>(
        &self,
        head: &Parts,
    ) -> Option<Result<Response<ResponseBody<S>>, Refusal>> {
        let is_preflight = head.method == Method::OPTIONS
            && head.headers.contains_key(header::ORIGIN)
            && head
                .headers
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return None;
        }
        let Self::Shared(_) = self else {
            return Some(Err(Refusal::Origin));
        };
        let mut response = empty_response(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        headers.append(
            header::VARY,
            HeaderValue::from(header::ACCESS_CONTROL_REQUEST_HEADERS),
        );
        if let Some(requested) = requested_headers(&head.headers) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested);
        }
        Some(Ok(response))
    }
}

/// Returns the request headers that a preflight asks for, if they are field names. All are allowed: `Mcp-Param-*` headers
/// are named by tools, and a header that the protocol does not know has no effect.
fn requested_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    let requested = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS)?;
    let text = requested.to_str().ok()?;
    let is_name = |name: &str| header::HeaderName::from_bytes(name.trim().as_bytes()).is_ok();
    (text.len() <= REQUEST_HEADERS_LIMIT && text.split(',').all(is_name))
        .then(|| detached(requested))
}

#[cfg(test)]
mod tests;
