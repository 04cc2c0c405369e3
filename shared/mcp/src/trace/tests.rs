//! Tests of the forwarded trace context.

use super::*;

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn exactly_the_trace_parents_valid_in_the_w3c_recommendation_pass() {
    assert!(is_traceparent(GOOD));
    let later = GOOD.replacen("00", "cc", 1);
    assert!(is_traceparent(&later));
    assert!(is_traceparent(&format!("{later}-what-will-be")));
    let zeros = |n: usize| "0".repeat(n);
    for bad in [
        String::new(),
        "00-a-b-01".to_owned(),
        GOOD.to_uppercase(),
        GOOD.replacen("00", "ff", 1),
        GOOD.replacen('-', "_", 1),
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", &zeros(32)),
        GOOD.replace("b7ad6b7169203331", &zeros(16)),
        format!("{GOOD}-more"),
        format!("{later}more"),
        format!(" {GOOD}"),
        format!("{}\u{e9}", &GOOD[..54]),
        format!("{}x", &GOOD[..54]),
    ] {
        assert!(!is_traceparent(&bad), "{bad}");
    }
}

#[test]
fn a_state_is_one_short_line_of_ascii() {
    assert!(is_tracestate("t=1,other=00f067aa0ba902b7"));
    for bad in ["", "  ", "t=\r\nx: y", "t=\u{e9}", &"x".repeat(513)] {
        assert!(!is_tracestate(bad), "{bad}");
    }
}
