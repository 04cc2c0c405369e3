//! Tests of the stages before the end of a certificate.

use super::*;

const END: Timestamp = Timestamp(1_800_000_000_000);

/// Returns the time that is this long before the end.
fn before(left: Duration) -> Timestamp {
    Timestamp(END.0 - u64::try_from(left.as_millis()).unwrap())
}

#[test]
fn warnings_begin_thirty_days_seven_days_and_one_day_before_the_end() {
    let second = Duration::from_secs(1);
    for (left, stage) in [
        (30 * DAY + second, None),
        (30 * DAY, Some(ExpiryStage::Month)),
        (7 * DAY + second, Some(ExpiryStage::Month)),
        (7 * DAY, Some(ExpiryStage::Week)),
        (DAY + second, Some(ExpiryStage::Week)),
        (DAY, Some(ExpiryStage::Day)),
        (second, Some(ExpiryStage::Day)),
        (Duration::ZERO, Some(ExpiryStage::Ended)),
    ] {
        assert_eq!(ExpiryStage::at(END, before(left)), stage, "{left:?}");
    }
    assert_eq!(
        ExpiryStage::at(END, END.after(DAY)),
        Some(ExpiryStage::Ended)
    );
}

#[test]
fn a_warning_names_the_file_the_time_and_the_next_step() {
    let now = before(3 * DAY);
    let text = ExpiryStage::Week.describe("/etc/toolgate/tls.crt", END, now);
    let parts = [
        "/etc/toolgate/tls.crt",
        "2027-01-15T08:00:00Z",
        "3 days",
        "replace",
    ];
    for part in parts {
        assert!(text.contains(part), "{text}");
    }
    let text = ExpiryStage::Ended.describe("tls.crt", END, END);
    assert!(
        text.contains("ended at") && text.contains("replace"),
        "{text}"
    );
}

#[test]
fn the_end_of_a_certificate_is_read_from_it() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2027, 1, 15);
    let certificate = params.self_signed(&key).unwrap();
    let midnight = END.0 - 8 * 60 * 60 * 1000;
    assert_eq!(not_after(certificate.der()), Some(Timestamp(midnight)));
    assert_eq!(not_after(&CertificateDer::from(vec![1, 2, 3])), None);
}
