//! Tests of the options.

use super::*;

#[test]
fn a_file_that_is_no_bundle_says_what_would_be() {
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
