//! Tests of the headers that pass between client and peer.

use http::HeaderValue;

use super::*;

fn headers(names: &[&'static str]) -> HeaderMap {
    let value = HeaderValue::from_static("x");
    let pair = |name: &&'static str| (HeaderName::from_static(name), value.clone());
    names.iter().map(pair).collect()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_forwarded_request_has_only_the_headers_that_the_peer_needs() {
    let received = headers(&[
        "authorization",
        "cdn-loop",
        "mcp-session-id",
        "traceparent",
        "cookie",
        "host",
    ]);
    let request = ForwardedRequest::new(Method::POST, "/main", &received, Bytes::new());
    let request = request.into_request().unwrap();
    assert_eq!(request.uri(), "https://localhost/main");
    assert_eq!(
        names(request.headers()),
        ["authorization", "cdn-loop", "mcp-session-id", "traceparent"]
    );
}

#[test]
fn a_response_of_a_peer_keeps_only_the_headers_for_the_client() {
    let mut response = Response::new(());
    *response.headers_mut() = headers(&["content-type", "mcp-session-id", "server", "set-cookie"]);
    let response = filter_response(response);
    assert_eq!(
        names(response.headers()),
        ["content-type", "mcp-session-id"]
    );
}
