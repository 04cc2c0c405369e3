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
fn a_server_that_answered_is_not_reported_as_failed() {
    let cut = "10,000 of 10,001 tools: limit of 10,000 tools of a server";
    let answered = serde_json::json!({
        "era": "modern", "protocolVersion": "2026-07-28", "tools": [{}, {}], "omissions": [cut],
    });
    let lines = summary("w", "http://w/mcp", None, &answered);
    assert_eq!(lines[0], "2 tools found (modern, 2026-07-28)");
    assert_eq!(lines[1], format!("  warning: {cut}"));
    let mut partial = answered.clone();
    partial["problem"] = serde_json::json!("its prompts could not be listed");
    let text = summary("w", "http://w/mcp", None, &partial).join("\n");
    assert!(text.starts_with("2 tools found"), "{text}");
    assert!(
        text.contains("could not be listed") && text.contains(cut),
        "{text}"
    );
    for words in ["failed", "too large; shorten"] {
        assert!(!text.contains(words), "{text}");
    }
}

#[test]
fn a_failed_probe_reports_the_cause_and_the_next_step() {
    let lines = summary(
        "w",
        "http://w/mcp",
        None,
        &serde_json::json!({ "problem": "connection refused" }),
    );
    assert!(lines[0].contains("connection refused") && lines[2].contains("describe server w"));
}
