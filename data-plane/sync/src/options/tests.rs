//! Tests of the options.

use super::*;

#[test]
fn an_invalid_bundle_file_is_rejected_with_the_expected_format() {
    for text in [
        &b"{}"[..],
        b"nonsense",
        br#"{"secret":"join_x","caPem":"no certificate"}"#,
    ] {
        let error = JoinBundle::parse(text).unwrap_err().to_string();
        assert!(
            error.contains("join-token") || error.contains("caPem"),
            "{error}"
        );
    }
}
