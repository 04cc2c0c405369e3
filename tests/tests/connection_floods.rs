//! Floods of connections without a certificate: proxies still reach their control plane, revocations reach proxies, and
//! the admin API answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, within};
use toolgate_tests::proxy_fleet::ProxyFleet;

/// Connections that the flood holds; each is opened again some time after it is closed.
const CONNECTIONS: usize = 2_304;

/// Connections that are open, or were closed by the listener, when the flood counts as present.
const PRESENT: usize = 2_000;

/// Time after which a connection that the listener closed is opened again.
const REOPEN_DELAY: Duration = Duration::from_secs(20);

/// Connections that are kept open until this is dropped. Each speaks HTTP/2, has sent a request that is refused, and
/// answers pings.
struct ConnectionFlood {
    _connections: JoinSet<()>,
    settled: Arc<AtomicUsize>,
}

impl ConnectionFlood {
    /// Opens the connections and waits until most of them are open, or were closed by the listener.
    async fn start(address: SocketAddr, tls: Option<TlsConnector>) -> Result<Self> {
        let settled = Arc::new(AtomicUsize::new(0));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (settled, tls) = (Arc::clone(&settled), tls.clone());
            connections.spawn(async move {
                loop {
                    let _closed = hold(address, tls.as_ref(), &settled).await;
                    settled.fetch_add(1, Ordering::Relaxed);
                    sleep(REOPEN_DELAY).await;
                }
            });
        }
        let flood = Self {
            _connections: connections,
            settled,
        };
        eventually("the flood is there", HANG_GUARD, || async {
            let settled = flood.settled.load(Ordering::Relaxed);
            anyhow::ensure!(settled >= PRESENT, "{settled} connections");
            Ok(())
        })
        .await?;
        Ok(flood)
    }
}

/// Holds a connection until the listener closes it.
#[expect(
    clippy::disallowed_methods,
    reason = "an attacker opens plain connections"
)]
async fn hold(
    address: SocketAddr,
    tls: Option<&TlsConnector>,
    settled: &AtomicUsize,
) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        Some(tls) => {
            let name = ServerName::from(address.ip());
            speak(tls.connect(name, stream).await?, settled).await
        }
        None => speak(stream, settled).await,
    }
}

async fn speak<T>(stream: T, settled: &AtomicUsize) -> Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let request = http::Request::post("http://localhost/toolgate.push.v1.Push/Subscribe");
        let request = request.body(Empty::<Bytes>::new())?;
        sender.send_request(request).await?;
        settled.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        ended = connection => Ok(ended?),
        failed = asking => failed,
    }
}

/// Returns a TLS client without a certificate, which accepts any server.
fn anonymous_tls() -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Verifier that accepts every certificate.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Revokes a token and waits until every proxy refuses it.
async fn check_revocation(fleet: &ProxyFleet, name: &str) -> Result<()> {
    let cli = fleet.plane.cli()?;
    let token = cli.token(name, &[]).await?;
    let agents: Vec<_> = fleet
        .proxies
        .iter()
        .map(|proxy| Agent::modern(&proxy.url("main"), &token))
        .collect();
    for agent in &agents {
        eventually("the token works", HANG_GUARD, || {
            agent.echo("echo", "hello")
        })
        .await?;
    }
    cli.run(&["token", "revoke", name]).await?;
    for agent in &agents {
        let most = within(Duration::from_secs(2));
        eventually("the token is refused", most, || async {
            let reply = agent.request("tools/list", json!({})).await?;
            anyhow::ensure!(reply.status.as_u16() == 401, "still {}", reply.status);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_certificates_does_not_lock_proxies_out() {
    let mut fleet = ProxyFleet::start("push-flood", &[]).await.unwrap();
    let flood = ConnectionFlood::start(fleet.plane.push(), Some(anonymous_tls().unwrap()))
        .await
        .unwrap();
    // From its own disk a proxy serves at once; only the control plane knows what was written meanwhile.
    fleet.proxies[0].restart().await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    cli.run(&[
        "gateway", "create", "later", "--server", "main", "--prefix", "single",
    ])
    .await
    .unwrap();
    let agent = Agent::modern(&fleet.proxies[0].url("later"), &fleet.token);
    eventually("the restarted proxy is fed", HANG_GUARD, || {
        agent.echo("echo", "hello")
    })
    .await
    .context("a gateway that was created during the flood")
    .unwrap();
    check_revocation(&fleet, "short-lived").await.unwrap();
    drop(flood);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_the_admin_listener_leaves_it_answering() {
    let fleet = ProxyFleet::start("admin-flood", &[]).await.unwrap();
    let flood = ConnectionFlood::start(fleet.plane.admin(), None)
        .await
        .unwrap();
    check_revocation(&fleet, "short-lived").await.unwrap();
    drop(flood);
}
