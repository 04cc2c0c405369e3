//! Result of the last probe of a server, as its status and its catalogue hold it.

use serde_json::Value;
use toolgate_model::{ProbeOutcome, ProbeProblem};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::admin;

/// Returns the problem that the last probe found, if there is one. `probed` is a catalogue, or the status of a server.
pub fn problem(probed: &Value) -> Option<ProbeProblem> {
    let word = |member: &str| probed[member].as_str().unwrap_or_default();
    let outcome = pb::ProbeOutcome::from_str_name(word("probeOutcome"));
    let failure = pb::ProbeFailure::from_str_name(word("probeFailure"));
    admin::probe_problem(
        word("problem"),
        outcome.unwrap_or_default(),
        failure.unwrap_or_default(),
    )
}

/// Returns `true` if the server has answered the probe that found the problem.
pub fn has_answered(problem: &ProbeProblem) -> bool {
    match problem.outcome {
        ProbeOutcome::Warned | ProbeOutcome::Incomplete => true,
        ProbeOutcome::Unknown | ProbeOutcome::Failed => false,
    }
}

/// Returns `true` if the problem is a warning about what the server offers. Such a probe has not failed.
pub fn is_warning(problem: &ProbeProblem) -> bool {
    problem.outcome == ProbeOutcome::Warned
}

#[cfg(test)]
mod tests;
