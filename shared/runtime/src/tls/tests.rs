//! Tests of the TLS configuration.

use std::net::Ipv4Addr;

use rustls_pki_types::ServerName;

use super::*;

#[test]
fn a_file_without_a_certificate_is_named() {
    let error = certificates("ca.pem", b"nothing").unwrap_err().to_string();
    assert!(
        error.contains("ca.pem") && error.contains("certificate"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = certificates_from(Path::new("/nowhere/ca.pem"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn a_loopback_address_is_a_valid_server_name() {
    assert!(matches!(
        ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)),
        ServerName::IpAddress(_)
    ));
}

/// Certificate authority of the tests.
struct TestAuthority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: CertificateDer<'static>,
}

impl TestAuthority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            certificate,
        }
    }

    /// Issues a certificate; returns certificate and key as PEM.
    fn issue(&self, serial: u64) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["proxy.test".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn identity(&self, serial: u64) -> TlsIdentity {
        let (chain, key) = self.issue(serial);
        TlsIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// Returns the server's certificate if the handshake succeeds at both ends.
async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Option<Vec<u8>> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("proxy.test").unwrap();
    let served = async {
        let mut stream = tokio_rustls::TlsAcceptor::from(server)
            .accept(theirs)
            .await
            .ok()?;
        stream.write_all(b"x").await.ok()
    };
    let connected = async {
        let connector = tokio_rustls::TlsConnector::from(client);
        let mut stream = connector.connect(name, ours).await.ok()?;
        stream.read_u8().await.ok()?;
        Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
    };
    let (served, connected) = tokio::join!(served, connected);
    served.and(connected)
}

#[tokio::test]
async fn a_required_client_certificate_must_come_from_the_authority() {
    let (ours, other) = (TestAuthority::new(), TestAuthority::new());
    let server = ReloadableIdentity::new(ours.identity(1)).unwrap();
    let required = mutual_server(
        &server,
        std::slice::from_ref(&ours.certificate),
        ClientAuth::Required,
        ALPN_H2,
    )
    .unwrap();
    let ca = [ours.certificate.clone()];
    let with = |identity: Option<TlsIdentity>| {
        let identity = identity.map(|identity| ReloadableIdentity::new(identity).unwrap());
        client(&ca, identity.as_ref(), ALPN_H2).unwrap()
    };
    assert!(
        handshake(required.clone(), with(Some(ours.identity(2))))
            .await
            .is_some()
    );
    assert!(
        handshake(required.clone(), with(Some(other.identity(3))))
            .await
            .is_none()
    );
    assert!(handshake(required, with(None)).await.is_none());
    let optional = mutual_server(&server, &ca, ClientAuth::Optional, ALPN_H2).unwrap();
    assert!(handshake(optional.clone(), with(None)).await.is_some());
    assert!(
        handshake(optional, with(Some(other.identity(4))))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (ours, other) = (TestAuthority::new(), TestAuthority::new());
    let server = ReloadableIdentity::new(other.identity(1)).unwrap();
    let server = super::server(&server, ALPN_H2).unwrap();
    let client = client(&[ours.certificate], None, ALPN_H2).unwrap();
    assert!(handshake(server, client).await.is_none());
}

#[tokio::test]
async fn replaced_certificate_files_are_loaded_and_broken_ones_ignored() {
    let authority = TestAuthority::new();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    let write = |(chain_pem, key_pem): (String, String)| {
        std::fs::write(&chain, chain_pem).unwrap();
        std::fs::write(&key, key_pem).unwrap();
    };
    write(authority.issue(1));
    let (drain, _trigger) = crate::drain::new();
    let tick = std::time::Duration::from_millis(20);
    let hot = ReloadableIdentity::watch(chain.clone(), key.clone(), tick, &drain).unwrap();
    let server = server(&hot, ALPN_H2).unwrap();
    // Each check uses a new client: a resumed session would show its first certificate.
    let shown = async || {
        let client = client(std::slice::from_ref(&authority.certificate), None, ALPN_H2).unwrap();
        handshake(server.clone(), client).await.unwrap()
    };
    let first = shown().await;

    write(("broken".to_owned(), "broken".to_owned()));
    tokio::time::sleep(tick * 4).await;
    assert_eq!(shown().await, first);
    write(authority.issue(2));
    let replaced = async {
        while shown().await == first {
            tokio::time::sleep(tick).await;
        }
    };
    let replaced = tokio::time::timeout(crate::HANG_GUARD, replaced).await;
    assert!(replaced.is_ok(), "the new files are not presented");
}
