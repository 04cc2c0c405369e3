//! SE-11: tests that the content of a certificate does not depend on its request.

use super::*;
use crate::{PeerIdentity, peer_identity};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn authority() -> LocalAuthority {
    LocalAuthority::open(&LocalAuthority::create(NOW).unwrap()).unwrap()
}

fn request(params: CertificateParams) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

#[test]
fn a_proxy_certificate_carries_only_the_proxy_name() {
    let mut asked = CertificateParams::new(vec!["control.example".to_owned()]).unwrap();
    asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issued = authority()
        .issue_proxy(&slug("edge-1"), &request(asked), NOW)
        .unwrap();
    let leaf = issued.chain.first().unwrap();
    assert_eq!(
        peer_identity(leaf),
        Some(PeerIdentity::Proxy(slug("edge-1")))
    );
    assert_eq!(issued.not_after, NOW.after(PROXY_CERTIFICATE_TTL));
    let text = String::from_utf8_lossy(leaf);
    assert!(!text.contains("control.example"));
    assert!(text.contains(&peer_server_name("edge-1")));
}

#[test]
fn a_request_not_signed_by_its_own_key_is_rejected() {
    let mut der = request(CertificateParams::default());
    let last = der.len() - 1;
    der[last] ^= 1;
    let refusal = authority().issue_proxy(&slug("edge-1"), &der, NOW);
    assert!(matches!(refusal, Err(AuthorityError::BadRequest(_))));
    for garbage in [&b""[..], b"0", &[0xff; 64]] {
        assert!(
            authority()
                .issue_proxy(&slug("edge-1"), garbage, NOW)
                .is_err()
        );
    }
}

#[test]
fn a_server_certificate_is_no_proxy_identity() {
    let names = ["control.example".to_owned(), "127.0.0.1".to_owned()];
    let (issued, _key) = authority().issue_server(&names, NOW).unwrap();
    assert_eq!(peer_identity(issued.chain.first().unwrap()), None);
    assert_eq!(peer_identity(authority().certificate()), None);
    assert_eq!(peer_identity(b"not a certificate"), None);
}

#[test]
fn an_authority_reopens_from_its_stored_form() {
    let kept = LocalAuthority::create(NOW).unwrap();
    let (one, two) = (
        LocalAuthority::open(&kept).unwrap(),
        LocalAuthority::open(&kept).unwrap(),
    );
    assert_eq!(one.certificate(), two.certificate());
    assert!(
        one.certificate_pem()
            .starts_with("-----BEGIN CERTIFICATE-----\nMII")
    );
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_certificates_that_are_issued_at_special_times_have_their_whole_lifetime() {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    for line in SPECIAL_TIMES.lines() {
        let (millis, why) = line.split_once(' ').unwrap();
        let now = Timestamp(millis.parse().unwrap());
        let authority = LocalAuthority::open(&LocalAuthority::create(now).unwrap()).unwrap();
        let csr = request(CertificateParams::default());
        let proxy = authority.issue_proxy(&slug("edge-1"), &csr, now).unwrap();
        let names = ["127.0.0.1".to_owned()];
        let (server, _key) = authority.issue_server(&names, now).unwrap();
        for (issued, life) in [
            (proxy, PROXY_CERTIFICATE_TTL),
            (server, SERVER_CERTIFICATE_TTL),
        ] {
            assert_eq!(issued.not_after, now.after(life), "{why}");
            let [leaf, root] = issued.chain.as_slice() else {
                panic!("{} certificates", issued.chain.len());
            };
            let ends = [leaf, root].map(|der| {
                let (_, certificate) = X509Certificate::from_der(der).unwrap();
                let validity = certificate.validity();
                let begin = u64::try_from(validity.not_before.timestamp()).unwrap();
                // Both are valid from before the time of issue on.
                assert_eq!(
                    begin,
                    (now.0 - CLOCK_SKEW.as_millis() as u64) / 1000,
                    "{why}"
                );
                u64::try_from(validity.not_after.timestamp()).unwrap()
            });
            assert_eq!(ends[0], issued.not_after.0 / 1000, "{why}");
            assert!(ends[1] >= ends[0], "{why}: the authority ends first");
        }
    }
}
