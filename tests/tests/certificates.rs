//! Certificates of a listener that are replaced while clients connect, and warnings before they end.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::http_client::socket;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Clients that connect without a pause, each time with a whole handshake.
const CLIENTS: usize = 8;
/// Replacements of the certificate.
const REPLACEMENTS: u64 = 2;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Certificate authority whose certificates clients trust.
struct TestAuthority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: CertificateDer<'static>,
}

impl TestAuthority {
    fn new() -> Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            issuer: rcgen::Issuer::new(params, key),
            certificate,
        })
    }

    /// Issues a certificate that is valid for this time from now. Returns certificate and key as PEM.
    fn issue(&self, serial: u64, validity: Duration) -> Result<(String, String)> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])?;
        params.serial_number = Some(serial.into());
        let now = wall_clock().duration_since(UNIX_EPOCH)?;
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + validity;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// TLS of a client that trusts the authority and resumes no session.
    fn client(&self) -> Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are valid at times of the wall clock"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Certificate files of a process.
struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
}

impl CertificateFiles {
    /// Replaces the files one after the other, as an operator does, so that they do not match in between.
    fn write(&self, (chain, key): &(String, String)) -> Result<()> {
        for (path, text) in [(&self.chain, chain), (&self.key, key)] {
            let new = path.with_extension("new");
            fs::write(&new, text)?;
            fs::rename(&new, path)?;
        }
        Ok(())
    }
}

/// Connects, makes a request and returns the certificate that was presented.
async fn connect(to: SocketAddr, tls: &TlsConnector) -> Result<Vec<u8>> {
    let mut stream = tls
        .connect(ServerName::from(to.ip()), socket(to).await?)
        .await?;
    let (_, session) = stream.get_ref();
    let shown = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .context("no certificate")?;
    let shown = shown.to_vec();
    let request = format!("GET /v1/mcp/demo HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(shown)
}

/// Connects until told to stop, and tells how many certificates it was presented so far. Returns these certificates, and the
/// number of handshakes.
async fn keep_connecting(
    to: SocketAddr,
    tls: TlsConnector,
    met: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Result<(BTreeSet<Vec<u8>>, usize)> {
    let (mut shown, mut handshakes) = (BTreeSet::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        shown.insert(connect(to, &tls).await.context("a handshake")?);
        met.store(shown.len(), Ordering::Relaxed);
        handshakes += 1;
    }
    Ok((shown, handshakes))
}

/// Waits until each client was presented this many certificates.
async fn wait_until_met(met: &[Arc<AtomicUsize>], certificates: usize) -> Result<()> {
    eventually("each client meets the certificate", HANG_GUARD, || async {
        let met: Vec<usize> = met.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        ensure!(met.iter().all(|it| *it >= certificates), "{met:?}");
        Ok(())
    })
    .await
}

async fn start(
    sandbox: &Sandbox,
    first: &(String, String),
) -> Result<(ToolgateUp, CertificateFiles)> {
    let files = CertificateFiles {
        chain: sandbox.join("tls.crt"),
        key: sandbox.join("tls.key"),
    };
    files.write(first)?;
    let text = |path: &PathBuf| path.display().to_string();
    let (chain, key) = (text(&files.chain), text(&files.key));
    let up = ToolgateUp::start(
        sandbox,
        &["--no-demo", "--tls-cert", &chain, "--tls-key", &key],
    )
    .await?;
    Ok((up, files))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_handshake_fails_while_certificates_are_replaced_under_load() {
    let sandbox = Sandbox::new("rotation").unwrap();
    let authority = TestAuthority::new().unwrap();
    let (up, files) = start(&sandbox, &authority.issue(1, 90 * DAY).unwrap())
        .await
        .unwrap();
    let (tls, stop) = (authority.client().unwrap(), Arc::<AtomicBool>::default());
    let mut clients = JoinSet::new();
    let met: Vec<Arc<AtomicUsize>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    for met in &met {
        let (met, stop) = (Arc::clone(met), Arc::clone(&stop));
        clients.spawn(keep_connecting(up.mcp(), tls.clone(), met, stop));
    }
    wait_until_met(&met, 1).await.unwrap();
    for serial in 0..REPLACEMENTS {
        let before = connect(up.mcp(), &tls).await.unwrap();
        files
            .write(&authority.issue(2 + serial, 90 * DAY).unwrap())
            .unwrap();
        eventually("the new certificate is presented", HANG_GUARD, || async {
            ensure!(
                connect(up.mcp(), &tls).await? != before,
                "still the former one"
            );
            Ok(())
        })
        .await
        .unwrap();
        wait_until_met(&met, 2 + usize::try_from(serial).unwrap())
            .await
            .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut handshakes = 0;
    while let Some(ended) = clients.join_next().await {
        let (shown, count) = ended.unwrap().unwrap();
        assert_eq!(shown.len(), 1 + usize::try_from(REPLACEMENTS).unwrap());
        handshakes += count;
    }
    println!("{handshakes} handshakes");
    // A client refuses an expired certificate in every handshake.
    let ended = authority.issue(9, Duration::ZERO).unwrap();
    files.write(&ended).unwrap();
    eventually("the client refuses it", HANG_GUARD, || async {
        let error = connect(up.mcp(), &tls).await.err().context("accepted")?;
        ensure!(format!("{error:#}").contains("expired"), "{error:#}");
        Ok(())
    })
    .await
    .unwrap();
    for _ in 0..20 {
        assert!(connect(up.mcp(), &tls).await.is_err(), "accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_warns_thirty_days_seven_days_and_one_day_before_its_certificate_ends() {
    let sandbox = Sandbox::new("expiry").unwrap();
    let authority = TestAuthority::new().unwrap();
    let days = |days: u32| days * DAY + DAY / 2;
    let (mut up, files) = start(&sandbox, &authority.issue(1, days(40)).unwrap())
        .await
        .unwrap();
    let state = up.readyz().await.unwrap();
    assert!(!state.contains("certificate"), "{state}");
    let stages = [
        (20, "in 20 days"),
        (5, "in 5 days"),
        (0, "in less than a day"),
    ];
    for (left, text) in stages {
        files
            .write(&authority.issue(u64::from(left) + 2, days(left)).unwrap())
            .unwrap();
        eventually(text, HANG_GUARD, || async {
            let state = up.readyz().await?;
            ensure!(
                state.contains("certificate of the client listener"),
                "{state}"
            );
            ensure!(state.contains(text) && state.contains("tls.crt"), "{state}");
            Ok(())
        })
        .await
        .unwrap();
    }
    files
        .write(&authority.issue(9, Duration::ZERO).unwrap())
        .unwrap();
    eventually("the end is told", HANG_GUARD, || async {
        let state = up.readyz().await?;
        ensure!(state.contains("so that clients refuse it"), "{state}");
        Ok(())
    })
    .await
    .unwrap();
    files
        .write(&authority.issue(10, days(90)).unwrap())
        .unwrap();
    eventually("the warning ends", HANG_GUARD, || async {
        let state = up.readyz().await?;
        ensure!(!state.contains("certificate"), "{state}");
        Ok(())
    })
    .await
    .unwrap();
    let log = up.process().stderr();
    let told = log.matches("certificate of the client listener").count();
    assert_eq!(told, stages.len() + 1, "one log line for each stage: {log}");
}
