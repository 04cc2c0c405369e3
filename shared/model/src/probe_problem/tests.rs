//! Tests of joined problems.

use super::*;

#[test]
fn joined_problems_have_the_worst_outcome_and_the_first_cause() {
    let hidden = ProbeProblem::warning("a tool holds hidden characters");
    let slow = ProbeProblem::incomplete("its prompts took too long", ProbeFailure::Timeout);
    let refused = ProbeProblem::incomplete("its tools need a token", ProbeFailure::Credential);
    let all = hidden.clone().joined(" / ", &slow).joined(" / ", &refused);
    assert_eq!(
        all.text,
        "a tool holds hidden characters / its prompts took too long / its tools need a token"
    );
    assert_eq!(all.outcome, ProbeOutcome::Incomplete);
    assert_eq!(all.failure, Some(ProbeFailure::Credential));
    let warnings = hidden.clone().joined("; ", &hidden);
    assert_eq!(
        (warnings.outcome, warnings.failure),
        (ProbeOutcome::Warned, None)
    );
}
