//! Tests of the results of probes.

use serde_json::{Value, json};
use toolgate_model::ProbeFailure;

use super::*;

fn read(outcome: &str) -> ProbeProblem {
    let catalogue = json!({ "problem": "any words", "probeOutcome": outcome });
    problem(&catalogue).unwrap()
}

#[test]
fn the_outcome_of_a_probe_decides_and_not_its_text() {
    let warned = read("PROBE_OUTCOME_WARNED");
    assert!(is_warning(&warned) && has_answered(&warned));
    let incomplete = read("PROBE_OUTCOME_INCOMPLETE");
    assert!(!is_warning(&incomplete) && has_answered(&incomplete));
    let failed = read("PROBE_OUTCOME_FAILED");
    assert!(!is_warning(&failed) && !has_answered(&failed));
    let status = json!({
        "problem": "x", "probeOutcome": "PROBE_OUTCOME_FAILED", "probeFailure": "PROBE_FAILURE_TIMEOUT",
    });
    assert_eq!(
        problem(&status).unwrap().failure,
        Some(ProbeFailure::Timeout)
    );
}

#[test]
fn a_problem_without_a_known_outcome_is_a_failure() {
    let words = "tools are left out: `x`: its name is empty; have the server fixed";
    for status in [
        json!({ "problem": words }),
        json!({ "problem": words, "probeOutcome": 99 }),
        json!({ "problem": words, "probeOutcome": "PROBE_OUTCOME_OF_A_LATER_VERSION" }),
    ] {
        let problem = problem(&status).unwrap();
        assert!(!is_warning(&problem) && !has_answered(&problem), "{status}");
    }
    assert_eq!(problem(&json!({ "problem": "" })), None);
    assert_eq!(problem(&Value::Null), None);
}
