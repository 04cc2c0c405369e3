//! Tests of rejections of certificates for their period of validity.

use std::time::Duration;

use super::*;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn a_certificate_that_is_not_valid_now_is_told_with_both_times() {
    let not_yet = TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
        time: at(1_700_000_000),
        not_before: at(1_700_259_200),
    });
    let error = io::Error::new(io::ErrorKind::InvalidData, not_yet);
    let text = ValidityProblem::of(&error)
        .unwrap()
        .describe("the control plane");
    assert!(
        text.contains("not valid before 2023-11-17T22:13:20Z"),
        "{text}"
    );
    assert!(
        text.contains("this machine shows 2023-11-14T22:13:20Z"),
        "{text}"
    );
    assert!(text.contains("time synchronisation"), "{text}");
    let expired = TlsError::InvalidCertificate(CertificateError::ExpiredContext {
        time: at(1_700_259_200),
        not_after: at(1_700_000_000),
    });
    let text = ValidityProblem::of(&expired)
        .unwrap()
        .describe("the server");
    assert!(text.contains("valid until 2023-11-14T22:13:20Z"), "{text}");
    assert!(text.contains("shows 2023-11-17T22:13:20Z"), "{text}");
}

#[test]
fn the_alert_of_a_peer_is_found_also_in_the_text_of_another_error() {
    let alert = TlsError::AlertReceived(AlertDescription::CertificateExpired);
    let text = io::Error::other(format!("connection error: {alert}"));
    for error in [io::Error::other(alert), text] {
        let found = ValidityProblem::of(&error);
        assert_eq!(found, Some(ValidityProblem::RejectedByPeer));
    }
}

#[test]
fn other_errors_are_no_problem_of_validity() {
    let unknown = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(ValidityProblem::of(&io::Error::other(unknown)), None);
    assert_eq!(ValidityProblem::of(&refused), None);
}
