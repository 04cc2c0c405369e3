//! Requests that are forwarded to a peer, and the headers that pass in both directions.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body_util::Full;

/// Request headers that are forwarded, in addition to those with the prefix `mcp-` or `trace`.
const FORWARDED_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("cdn-loop"),
];

/// Response headers that are returned, in addition to those with the prefix `mcp-` or `trace`.
const RETURNED_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
];

/// Request to be forwarded.
pub struct ForwardedRequest {
    method: Method,
    path: Box<str>,
    headers: HeaderMap,
    body: Bytes,
}

impl ForwardedRequest {
    /// Builds the request from the headers that the peer needs.
    pub fn new(method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            path: path.into(),
            headers: filter_headers(headers, &FORWARDED_HEADERS),
            body,
        }
    }

    pub(crate) fn into_request(self) -> Option<Request<Full<Bytes>>> {
        // Every listener accepts this host name; the destination is determined by address and certificate.
        let request = Request::builder()
            .method(self.method)
            .uri(format!("https://localhost{}", self.path));
        let mut request = request.body(Full::new(self.body)).ok()?;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}

/// Removes the headers of a response that do not pass on to the client.
pub(crate) fn filter_response<B>(mut response: Response<B>) -> Response<B> {
    let headers = filter_headers(response.headers(), &RETURNED_HEADERS);
    *response.headers_mut() = headers;
    response
}

fn filter_headers(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let passes = |name: &HeaderName| {
        let text = name.as_str();
        names.contains(name) || text.starts_with("mcp-") || text.starts_with("trace")
    };
    let mut passed = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| passes(name)) {
        passed.append(name, value.clone());
    }
    passed
}

#[cfg(test)]
mod tests;
