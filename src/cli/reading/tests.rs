//! Tests of the advice for a resource that cannot be read.

use super::*;

#[test]
fn a_server_that_is_away_is_looked_at_and_a_resource_that_is_not_there_is_looked_for() {
    let advice = |kind| {
        advised(Fault::new(kind, "it came to nothing"))
            .next
            .unwrap()
    };
    assert!(advice(FaultKind::Failed).contains("toolgate doctor"));
    assert!(advice(FaultKind::NotFound).contains("toolgate resources list"));
    let meant = Fault::new(FaultKind::NotFound, "no such resource").next("did you mean another?");
    assert_eq!(advised(meant.clone()), meant);
}
