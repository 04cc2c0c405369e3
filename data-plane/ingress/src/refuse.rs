//! The one place where a refusal becomes a response.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use toolgate_data_core::Refusal;

use crate::body::Body;

/// As in every answer with a body of one JSON document.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a client without a usable token is asked for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"toolgate\"");

/// What is served at a gateway's path.
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE");

/// The response to a request of this id (the literal as written), where one could be read.
pub fn refuse<S>(refusal: &Refusal, id: Option<&str>) -> Response<Body<S>> {
    let body = refusal.rpc().to_bytes(id);
    let mut response = json(refusal.status(), body);
    let headers = response.headers_mut();
    match refusal.status() {
        401 => {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        405 => {
            headers.insert(header::ALLOW, METHODS);
        }
        _ => {}
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A response of one JSON document.
pub fn json<S>(status: u16, body: Bytes) -> Response<Body<S>> {
    let mut response = Response::new(Body::from(body));
    // Every status of ours is a valid one; a reader of this line need not look it up.
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A response without a body.
pub fn empty<S>(status: StatusCode) -> Response<Body<S>> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
