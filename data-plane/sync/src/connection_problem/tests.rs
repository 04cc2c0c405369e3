//! Tests of descriptions of failed connections.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use rustls_pki_types::UnixTime;

use super::*;

const END: Timestamp = Timestamp(1_700_000_000_000);

fn status(error: TlsError) -> Status {
    Status::from_error(Box::new(std::io::Error::other(error)))
}

#[test]
fn a_rejected_certificate_is_told_with_both_times_and_without_a_guess() {
    let alert = || {
        status(TlsError::AlertReceived(
            AlertDescription::CertificateExpired,
        ))
    };
    let before = describe(&alert(), Some(END), Timestamp(END.0 - 1_000)).text;
    assert!(
        before.contains("valid until 2023-11-14T22:13:20Z"),
        "{before}"
    );
    assert!(before.contains("shows 2023-11-14T22:13:19Z"), "{before}");
    assert!(before.contains("clocks differ"), "{before}");
    assert!(!before.contains("join again"), "{before}");
    let after = describe(&alert(), Some(END), Timestamp(END.0 + 1_000)).text;
    assert!(after.contains("join again"), "{after}");
    assert!(after.contains("clock of this machine"), "{after}");
}

#[test]
fn a_control_plane_whose_certificate_is_not_valid_yet_is_a_problem_of_clocks() {
    let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let error = TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
        time: at(1_700_000_000),
        not_before: at(1_700_259_200),
    });
    let text = describe(&status(error), None, END).text;
    assert!(
        text.contains("not valid before 2023-11-17T22:13:20Z"),
        "{text}"
    );
    assert!(text.contains("time synchronisation"), "{text}");
}

#[test]
fn other_statuses_keep_their_message() {
    let status = Status::unavailable("no control plane is configured");
    assert_eq!(
        describe(&status, Some(END), END).text,
        "no control plane is configured"
    );
}

#[test]
fn an_address_that_is_not_that_of_a_control_plane_is_told_with_its_cause_and_a_step() {
    for (problem, step) in [
        (ConnectProblem::Unresolved, "name servers"),
        (ConnectProblem::Refused, "--push-listen"),
        (ConnectProblem::PeerWithoutTls, "--insecure-push"),
        (ConnectProblem::PeerWithTls, "--join FILE"),
        (ConnectProblem::Handshake, "--push-name"),
    ] {
        let error = ControlConnectError::new("plane.example:7410".into(), problem);
        let status = Status::from_error(Box::new(std::io::Error::from(error)));
        let told = describe(&status, None, END);
        assert_eq!(told.reason, problem.reason());
        for part in ["plane.example:7410", &problem.to_string(), step] {
            assert!(told.text.contains(part), "{part}: {}", told.text);
        }
    }
    let other = describe(&Status::unimplemented(""), None, END);
    assert_eq!(other.reason, "not_push");
}
