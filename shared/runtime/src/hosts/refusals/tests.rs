//! Tests of the records of refused hosts.

use http::HeaderValue;

use super::*;

#[test]
fn refused_hosts_are_counted_and_logged_once_a_minute_with_their_number() {
    let metrics = Metrics::new();
    let refusals = HostRefusals::with_metrics("admin", &metrics);
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("evil.example"));
    for _ in 0..5 {
        refusals.record(&Uri::from_static("/"), &headers, "--admin-host");
    }
    let scraped = metrics.render();
    let line = "toolgate_hosts_refused_total{listener=\"admin\"} 5";
    assert!(scraped.contains(line), "{scraped}");

    let refusals = HostRefusals::new("admin");
    let start = Instant::now();
    let lines: Vec<_> = [0, 1, 59, 60, 61, 119, 121]
        .map(|seconds| refusals.due(start + Duration::from_secs(seconds)))
        .into();
    assert_eq!(lines, [Some(1), None, None, Some(3), None, None, Some(3)]);
}

#[test]
fn a_host_is_shown_escaped_and_shortened() {
    let mut headers = HeaderMap::new();
    let long = "x".repeat(1000);
    headers.insert(header::HOST, HeaderValue::from_str(&long).unwrap());
    let shown = shown_host(&Uri::from_static("/"), &headers);
    assert_eq!(shown.len(), MAX_SHOWN);
    headers.insert(
        header::HOST,
        HeaderValue::from_bytes(b"a\xe2\x80\xaeb").unwrap(),
    );
    let shown = shown_host(&Uri::from_static("/"), &headers);
    assert_eq!(shown, "a\\u{202e}b");
    let target = shown_host(&Uri::from_static("http://evil.example/"), &HeaderMap::new());
    assert_eq!(target, "evil.example");
}
