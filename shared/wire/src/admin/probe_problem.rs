//! Conversion of the problem that a probe found: a text, and its outcome and cause. Records of earlier versions have the
//! text only.

use toolgate_model::{ProbeFailure, ProbeOutcome, ProbeProblem};
use toolgate_proto::admin::v1 as pb;

use crate::{field, invalid::FieldViolation, limits};

/// Outcome and cause of a probe in the fields of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeResultFields {
    /// Outcome.
    pub outcome: pb::ProbeOutcome,
    /// Cause.
    pub failure: pb::ProbeFailure,
}

/// Validates and converts the problem in a message; `None` if the text is empty. An outcome or a cause of a later version is
/// unknown.
pub(super) fn from_fields(
    text: &str,
    outcome: i32,
    failure: i32,
) -> Result<Option<ProbeProblem>, FieldViolation> {
    let text = field::bounded("problem", text, limits::REASON)?;
    let outcome = pb::ProbeOutcome::try_from(outcome).unwrap_or_default();
    let failure = pb::ProbeFailure::try_from(failure).unwrap_or_default();
    Ok(probe_problem(&text, outcome, failure))
}

/// Converts the problem of a probe; `None` if the text is empty.
pub fn probe_problem(
    text: &str,
    outcome: pb::ProbeOutcome,
    failure: pb::ProbeFailure,
) -> Option<ProbeProblem> {
    (!text.is_empty()).then(|| ProbeProblem {
        text: text.to_owned(),
        outcome: from_outcome(outcome),
        failure: from_failure(failure),
    })
}

/// Returns the outcome and the cause of the last probe for a message.
pub fn probe_result_fields(problem: Option<&ProbeProblem>) -> ProbeResultFields {
    let Some(problem) = problem else {
        return ProbeResultFields {
            outcome: pb::ProbeOutcome::Succeeded,
            failure: pb::ProbeFailure::Unspecified,
        };
    };
    ProbeResultFields {
        outcome: match problem.outcome {
            ProbeOutcome::Unknown => pb::ProbeOutcome::Unspecified,
            ProbeOutcome::Warned => pb::ProbeOutcome::Warned,
            ProbeOutcome::Incomplete => pb::ProbeOutcome::Incomplete,
            ProbeOutcome::Failed => pb::ProbeOutcome::Failed,
        },
        failure: problem
            .failure
            .map_or(pb::ProbeFailure::Unspecified, to_failure),
    }
}

/// Converts the outcome of a probe that found a problem.
fn from_outcome(given: pb::ProbeOutcome) -> ProbeOutcome {
    match given {
        pb::ProbeOutcome::Warned => ProbeOutcome::Warned,
        pb::ProbeOutcome::Incomplete => ProbeOutcome::Incomplete,
        pb::ProbeOutcome::Failed => ProbeOutcome::Failed,
        pb::ProbeOutcome::Unspecified | pb::ProbeOutcome::Succeeded => ProbeOutcome::Unknown,
    }
}

fn from_failure(given: pb::ProbeFailure) -> Option<ProbeFailure> {
    Some(match given {
        pb::ProbeFailure::Unspecified => return None,
        pb::ProbeFailure::GatewayLoop => ProbeFailure::GatewayLoop,
        pb::ProbeFailure::AddressDenied => ProbeFailure::AddressDenied,
        pb::ProbeFailure::Credential => ProbeFailure::Credential,
        pb::ProbeFailure::HostUnresolved => ProbeFailure::HostUnresolved,
        pb::ProbeFailure::ResourcesExhausted => ProbeFailure::ResourcesExhausted,
        pb::ProbeFailure::ForwardProxy => ProbeFailure::ForwardProxy,
        pb::ProbeFailure::Unreachable => ProbeFailure::Unreachable,
        pb::ProbeFailure::Timeout => ProbeFailure::Timeout,
        pb::ProbeFailure::Tls => ProbeFailure::Tls,
        pb::ProbeFailure::AnswerTooLarge => ProbeFailure::AnswerTooLarge,
        pb::ProbeFailure::ProtocolVersion => ProbeFailure::ProtocolVersion,
        pb::ProbeFailure::Overloaded => ProbeFailure::Overloaded,
        pb::ProbeFailure::Redirected => ProbeFailure::Redirected,
        pb::ProbeFailure::ServerFault => ProbeFailure::ServerFault,
        pb::ProbeFailure::UnstableDefinitions => ProbeFailure::UnstableDefinitions,
        pb::ProbeFailure::StoreFull => ProbeFailure::StoreFull,
        pb::ProbeFailure::NotMcp => ProbeFailure::NotMcp,
    })
}

fn to_failure(given: ProbeFailure) -> pb::ProbeFailure {
    match given {
        ProbeFailure::GatewayLoop => pb::ProbeFailure::GatewayLoop,
        ProbeFailure::AddressDenied => pb::ProbeFailure::AddressDenied,
        ProbeFailure::Credential => pb::ProbeFailure::Credential,
        ProbeFailure::HostUnresolved => pb::ProbeFailure::HostUnresolved,
        ProbeFailure::ResourcesExhausted => pb::ProbeFailure::ResourcesExhausted,
        ProbeFailure::ForwardProxy => pb::ProbeFailure::ForwardProxy,
        ProbeFailure::Unreachable => pb::ProbeFailure::Unreachable,
        ProbeFailure::Timeout => pb::ProbeFailure::Timeout,
        ProbeFailure::Tls => pb::ProbeFailure::Tls,
        ProbeFailure::AnswerTooLarge => pb::ProbeFailure::AnswerTooLarge,
        ProbeFailure::ProtocolVersion => pb::ProbeFailure::ProtocolVersion,
        ProbeFailure::Overloaded => pb::ProbeFailure::Overloaded,
        ProbeFailure::Redirected => pb::ProbeFailure::Redirected,
        ProbeFailure::ServerFault => pb::ProbeFailure::ServerFault,
        ProbeFailure::UnstableDefinitions => pb::ProbeFailure::UnstableDefinitions,
        ProbeFailure::StoreFull => pb::ProbeFailure::StoreFull,
        ProbeFailure::NotMcp => pb::ProbeFailure::NotMcp,
    }
}

#[cfg(test)]
mod tests;
