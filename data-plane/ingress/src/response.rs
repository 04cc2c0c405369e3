//! Converts refusals to responses. No other module does.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use toolgate_data_core::Refusal;

use crate::body::ResponseBody;

/// Content type of every response that is one JSON document.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `WWW-Authenticate` value of responses to requests without a usable token.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"toolgate\"");

/// `Allow` value: the methods of a gateway's path.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE");

/// Returns the response to a refused request with this id (the JSON literal as written), if the id is known.
pub fn refusal_response<S>(refusal: &Refusal, id: Option<&str>) -> Response<ResponseBody<S>> {
    let body = refusal.rpc().to_bytes(id);
    let mut response = json(refusal.status(), body);
    let headers = response.headers_mut();
    if let Some(challenge) = challenge(refusal) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if refusal.status() == 405 {
        headers.insert(header::ALLOW, ALLOWED_METHODS);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Returns the `WWW-Authenticate` value of the response to a request without a usable token (RFC 6750, section 3).
fn challenge(refusal: &Refusal) -> Option<HeaderValue> {
    let Refusal::InvalidToken(fault) = refusal else {
        return (refusal.status() == 401).then_some(CHALLENGE);
    };
    let (error, description) = (fault.error(), fault.description());
    let text = format!(
        "Bearer realm=\"toolgate\", error=\"{error}\", error_description=\"{description}\""
    );
    // Descriptions are printable ASCII; the fallback is never used.
    Some(HeaderValue::from_str(&text).unwrap_or(CHALLENGE))
}

/// Returns a response with one JSON document.
pub fn json<S>(status: u16, body: Bytes) -> Response<ResponseBody<S>> {
    let mut response = Response::new(ResponseBody::from(body));
    // Callers pass valid status codes only; the fallback is never used.
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Returns a response without a body.
pub fn empty_response<S>(status: StatusCode) -> Response<ResponseBody<S>> {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
