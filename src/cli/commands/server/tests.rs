//! Tests of the origin of a URL and of the summary of a probe.

use super::{single_origin, summary};

#[test]
fn the_credential_of_a_server_is_bound_to_the_origin_of_its_url() {
    for (url, origin) in [
        (
            "https://API.example.com:443/mcp?q=1",
            "https://api.example.com",
        ),
        ("http://127.0.0.1:9/mcp", "http://127.0.0.1:9"),
    ] {
        assert_eq!(single_origin(url).unwrap().to_string(), origin);
    }
    for url in ["", "example.com", "ftp://example.com/mcp"] {
        assert!(single_origin(url).is_err(), "{url}");
    }
}

#[test]
fn a_failed_probe_reports_the_cause_and_the_next_step() {
    let lines = summary(
        "w",
        "http://w/mcp",
        false,
        &serde_json::json!({ "problem": "connection refused" }),
    );
    assert!(lines[0].contains("connection refused") && lines[2].contains("describe server w"));
}
