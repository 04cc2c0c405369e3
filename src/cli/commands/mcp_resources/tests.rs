//! Tests of the advice for a resource that cannot be read.

use super::*;

#[test]
fn read_failures_suggest_inspecting_the_server_or_listing_resources() {
    let advice = |kind| {
        with_advice(CliError::new(kind, "it came to nothing"))
            .next_step
            .unwrap()
    };
    assert!(advice(CliErrorKind::CallFailed).contains("toolgate doctor"));
    assert!(advice(CliErrorKind::NotFound).contains("toolgate resources list"));
    let meant = CliError::new(CliErrorKind::NotFound, "no such resource")
        .with_next_step("did you mean another?");
    assert_eq!(with_advice(meant.clone()), meant);
}
