//! Descriptions of connections to a control plane that fail, with the address, the cause and the next step. A certificate that
//! is not valid now is told with the times of both sides: its period may be over, or a clock may be off, and the proxy does not
//! guess which.

use tonic::{Code, Status};
use toolgate_egress::{ConnectProblem, ControlConnectError};
use toolgate_model::Timestamp;
use toolgate_runtime::{clock::rfc3339, tls::ValidityProblem};

/// Problem of the connection to a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionProblem {
    /// Description with the next step.
    pub(crate) text: String,
    /// Reason as logs name it; empty if it is not known.
    pub(crate) reason: &'static str,
}

/// Describes the status with which a request or a stream ended. `certificate_end` is the end of this proxy's certificate, if
/// it has one.
pub(crate) fn describe(
    status: &Status,
    certificate_end: Option<Timestamp>,
    now: Timestamp,
) -> ConnectionProblem {
    let (text, reason) = match ValidityProblem::of(status) {
        Some(ValidityProblem::RejectedByPeer) => {
            (rejected(certificate_end, now), "certificate_period")
        }
        Some(problem) => (problem.describe("the control plane"), "certificate_period"),
        None => match ControlConnectError::of(status) {
            Some(error) => return of_connect(error),
            None if status.code() == Code::Unimplemented => (OTHER_LISTENER.to_owned(), "not_push"),
            None => (status.message().to_owned(), ""),
        },
    };
    ConnectionProblem { text, reason }
}

/// Next step for a listener that knows no method of the push protocol.
const OTHER_LISTENER: &str = "what answers is not the push listener of a control plane: `--control-plane` names that listener \
     (`--push-listen`, port 7410), neither the admin API nor the port for clients";

/// Describes a failure to connect, or the diagnosis of a connection that broke.
pub(crate) fn of_connect(error: &ControlConnectError) -> ConnectionProblem {
    let step = match error.problem {
        ConnectProblem::Unresolved => {
            "correct the host name in `--control-plane`, or the name servers of this machine"
        }
        ConnectProblem::Refused => {
            "see that the control plane runs, and that `--control-plane` names its push listener (`--push-listen`, port 7410)"
        }
        ConnectProblem::Timeout | ConnectProblem::Unreachable => {
            "see that the control plane runs, that `--control-plane` names its push listener (`--push-listen`), and that no \
             firewall is in between"
        }
        ConnectProblem::PeerWithoutTls => {
            "`--control-plane` has to name the push listener, which has TLS unless the control plane was started with \
             `--insecure-push`: start both with that flag, or neither"
        }
        ConnectProblem::PeerWithTls => {
            "start this proxy without `--insecure-push` and with `--join FILE`, or the control plane with `--insecure-push` too, \
             for development only"
        }
        ConnectProblem::Http1 => {
            "`--control-plane` has to name the push listener (`--push-listen`, port 7410)"
        }
        ConnectProblem::Handshake => {
            "see that `--control-plane` names the control plane of the deployment that issued the join file, under a name that \
             its certificate has (`--push-name`)"
        }
    };
    ConnectionProblem {
        text: format!("no connection to the control plane at {error}; {step}"),
        reason: error.problem.reason(),
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
