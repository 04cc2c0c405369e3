//! Tests of the outcomes and causes of probes in messages.

use super::*;

#[test]
fn a_problem_of_an_earlier_or_later_version_has_no_known_outcome() {
    let read = |outcome, failure| from_fields("no connection", outcome, failure).unwrap();
    let unknown = ProbeProblem {
        text: "no connection".to_owned(),
        outcome: ProbeOutcome::Unknown,
        failure: None,
    };
    assert_eq!(read(0, 0), Some(unknown.clone()), "an earlier version");
    assert_eq!(read(99, 99), Some(unknown), "a later version");
    assert_eq!(from_fields("", 4, 6).unwrap(), None);
}

#[test]
fn every_cause_survives_the_conversion() {
    let causes = (1..).map_while(|number| pb::ProbeFailure::try_from(number).ok());
    let causes: Vec<_> = causes.collect();
    assert_eq!(causes.len(), 17);
    for cause in causes {
        let known = from_failure(cause).unwrap();
        assert_eq!(to_failure(known), cause);
    }
}

#[test]
fn a_probe_without_a_problem_has_succeeded() {
    let fields = probe_result_fields(None);
    assert_eq!(fields.outcome, pb::ProbeOutcome::Succeeded);
    assert_eq!(fields.failure, pb::ProbeFailure::Unspecified);
}
