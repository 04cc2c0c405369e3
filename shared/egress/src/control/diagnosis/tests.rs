//! Tests of connections to addresses that are not those of a control plane.

use std::future::Future;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;
use toolgate_runtime::tls;

use super::*;
use crate::control::{ClientTls, ControlConnector, control_channel};

/// Serves one connection after another with `serve`, and returns the address.
#[expect(clippy::disallowed_methods, reason = "ends with the test")]
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    address
}

/// Answers what a client says first.
async fn answering(answer: &'static [u8]) -> String {
    listen(move |mut stream| async move {
        let mut first = [0; 16];
        let _read = stream.read(&mut first).await;
        let _written = stream.write_all(answer).await;
    })
    .await
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (certificate, key.serialize_der().try_into().unwrap())
}

async fn with_tls() -> String {
    let (certificate, key) = certificate();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A client that speaks no TLS gets nothing but the end.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ended = stream.shutdown().await;
            }
        }
    })
    .await
}

fn over_tls(address: &str) -> ControlConnector {
    let tls = ClientTls {
        config: tls::client(&[certificate().0], None, tls::ALPN_H2).unwrap(),
        server_name: ServerName::try_from("127.0.0.1").unwrap(),
    };
    control_channel(address, Some(tls))
}

/// Returns the problem and the text of a connection that cannot be opened.
async fn refused(connector: &ControlConnector) -> (ConnectProblem, String) {
    let error = connector.open().await.unwrap_err();
    let found = ControlConnectError::of(&error).unwrap();
    (found.problem, found.to_string())
}

#[tokio::test]
async fn each_failure_to_connect_names_the_address_and_the_cause() {
    // A socket that is bound and does not listen keeps the port from other tests.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = bound.local_addr().unwrap().to_string();
    let (problem, text) = refused(&control_channel(&closed, None)).await;
    assert_eq!(problem, ConnectProblem::Refused);
    assert_eq!(text, format!("{closed}: nothing listens there"));
    let (problem, text) = refused(&control_channel("no-such-host.invalid:7410", None)).await;
    assert_eq!(problem, ConnectProblem::Unresolved);
    assert!(text.starts_with("no-such-host.invalid:7410: "), "{text}");
}

#[tokio::test]
async fn tls_to_a_port_in_clear_text_is_told_apart_from_a_bad_certificate() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\0\0\0\x04\0\0\0\0\0",
    ] {
        let plain = answering(answer).await;
        let (problem, text) = refused(&over_tls(&plain)).await;
        assert_eq!(problem, ConnectProblem::PeerWithoutTls, "{text}");
        assert!(text.starts_with(&plain), "{text}");
    }
    let (problem, _) = refused(&over_tls(&with_tls().await)).await;
    assert_eq!(problem, ConnectProblem::Handshake);
}

#[tokio::test]
async fn clear_text_to_a_port_with_tls_or_http1_is_diagnosed() {
    let diagnosed = async |address: &str| {
        let found = control_channel(address, None).diagnose().await;
        found.map(|it| it.problem)
    };
    let alert = answering(&[0x15, 0x03, 0x03, 0, 2, 2, 50]).await;
    let silent = with_tls().await;
    let http1 = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let http2 = answering(b"\0\0\0\x04\0\0\0\0\0").await;
    assert_eq!(diagnosed(&alert).await, Some(ConnectProblem::PeerWithTls));
    assert_eq!(diagnosed(&silent).await, Some(ConnectProblem::PeerWithTls));
    assert_eq!(diagnosed(&http1).await, Some(ConnectProblem::Http1));
    assert_eq!(diagnosed(&http2).await, None);
}
