//! Tests of headers at the command line and of the summary of a probe.

use super::{single_header, summary};

#[test]
fn a_header_is_split_at_the_first_separator() {
    let cases = [
        ("Authorization=Bearer a=b", ("Authorization", "Bearer a=b")),
        ("X-Key: abc:def", ("X-Key", "abc:def")),
    ];
    for (given, (name, value)) in cases {
        let header = single_header(&[given.to_owned()]).unwrap().unwrap();
        assert_eq!((header.0.as_str(), header.1.as_str()), (name, value));
    }
    assert!(single_header(&["novalue".to_owned()]).is_err());
    assert!(single_header(&["a=1".to_owned(), "b=2".to_owned()]).is_err());
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
