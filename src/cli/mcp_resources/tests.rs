//! Tests of the advice for a resource that cannot be read.

use super::*;

#[test]
fn a_server_that_is_away_is_looked_at_and_a_resource_that_is_not_there_is_looked_for() {
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
