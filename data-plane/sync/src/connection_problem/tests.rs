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
    let before = describe(&alert(), Some(END), Timestamp(END.0 - 1_000));
    assert!(
        before.contains("valid until 2023-11-14T22:13:20Z"),
        "{before}"
    );
    assert!(before.contains("shows 2023-11-14T22:13:19Z"), "{before}");
    assert!(before.contains("clocks differ"), "{before}");
    assert!(!before.contains("join again"), "{before}");
    let after = describe(&alert(), Some(END), Timestamp(END.0 + 1_000));
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
    let text = describe(&status(error), None, END);
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
        describe(&status, Some(END), END),
        "no control plane is configured"
    );
}
