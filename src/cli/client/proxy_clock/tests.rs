//! Tests of the clock of a proxy.

use serde_json::json;

use super::*;

#[test]
fn a_clock_that_is_off_is_shown_with_its_direction() {
    let shown = |offset: &str| {
        let proxy = json!({ "clockOffset": offset, "clockError": "0.020s" });
        (cell(&proxy), problem(&proxy))
    };
    assert_eq!(shown("0s"), ("ok".to_owned(), None));
    assert_eq!(shown("-29.5s"), ("ok".to_owned(), None));
    assert_eq!(shown("180s").0, "+3m0s");
    assert_eq!(shown("-0.5s").0, "ok");
    let (cell, problem) = shown("-259200.250s");
    assert_eq!(cell, "-3d0h");
    assert_eq!(
        problem.as_deref(),
        Some("its clock is 3d0h behind that of its control plane")
    );
}

#[test]
fn a_clock_that_is_not_known_is_not_guessed() {
    assert_eq!(cell(&json!({})), "-");
    assert_eq!(problem(&json!({})), None);
    // The answer took longer than the difference.
    let slow = json!({ "clockOffset": "60s", "clockError": "45s" });
    assert_eq!(cell(&slow), "ok");
}
