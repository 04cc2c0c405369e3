//! Descriptions of connections to a control plane that fail. A certificate that is not valid now is told with the times of
//! both sides: its period may be over, or a clock may be off, and the proxy does not guess which.

use tonic::Status;
use toolgate_model::Timestamp;
use toolgate_runtime::{clock::rfc3339, tls::ValidityProblem};

/// Describes the status with which a request or a stream ended. `certificate_end` is the end of this proxy's certificate, if
/// it has one.
pub(crate) fn describe(
    status: &Status,
    certificate_end: Option<Timestamp>,
    now: Timestamp,
) -> String {
    match ValidityProblem::of(status) {
        None => status.message().to_owned(),
        Some(ValidityProblem::RejectedByPeer) => rejected(certificate_end, now),
        Some(problem) => problem.describe("the control plane"),
    }
}

fn rejected(certificate_end: Option<Timestamp>, now: Timestamp) -> String {
    let problem = ValidityProblem::RejectedByPeer.describe("the control plane");
    let Some(end) = certificate_end else {
        return problem;
    };
    let times = format!(
        "{problem}: the certificate is valid until {}, and the clock of this machine shows {}",
        rfc3339(end),
        rfc3339(now)
    );
    match now < end {
        true => format!(
            "{times}; the two clocks differ: compare both with the right time, and switch on time synchronisation"
        ),
        false => format!(
            "{times}; join again with a new join token (`toolgate proxies join-token`), after the clock of this machine is \
             set if it is wrong"
        ),
    }
}

#[cfg(test)]
mod tests;
