//! Tests of joining and renewing over TLS.

use std::sync::atomic::{AtomicUsize, Ordering};

use toolgate_proto::push::v1::fleet_server::FleetServer;
use toolgate_runtime::tls::{ALPN_H2, ClientAuth, mutual_server};

use super::*;
use crate::{
    ControlPlaneTransport, SyncError,
    fixture::{
        FakeControlPlane, FakeFleet, HANG_GUARD, machine, options, options_in, small, until,
    },
    start,
};

struct TestControlPlane {
    address: String,
    ca_pem: String,
    tried: Arc<AtomicUsize>,
    joined: Arc<AtomicUsize>,
    renewed: Arc<AtomicUsize>,
    stop: tokio::task::AbortHandle,
}

/// Starts a control plane on loopback that requires client certificates of its own authority, except for joining.
async fn control_plane(life: Duration) -> TestControlPlane {
    control_plane_at(life, 0).await
}

/// Starts a control plane whose clock is `clock_ahead` milliseconds ahead.
#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
async fn control_plane_at(life: Duration, clock_ahead: i64) -> TestControlPlane {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Arc::new(rcgen::Issuer::new(ca, ca_key));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let chain = params.signed_by(&key, &issuer).unwrap();
    let identity = TlsIdentity {
        chain: vec![chain.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    };
    let identity = ReloadableIdentity::new(identity).unwrap();
    let roots = [ca_certificate.der().clone()];
    let tls = mutual_server(&identity, &roots, ClientAuth::Optional, ALPN_H2).unwrap();

    let tried = Arc::<AtomicUsize>::default();
    let (joined, renewed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let fleet = FakeFleet {
        issuer,
        ca: ca_certificate.der().to_vec(),
        secret: "join_once".to_owned(),
        lifetime: life,
        clock_ahead,
        tried: Arc::clone(&tried),
        joined: Arc::clone(&joined),
        renewed: Arc::clone(&renewed),
    };
    let routes = FakeControlPlane::new(small(5))
        .routes()
        .add_service(FleetServer::new(fleet));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, accepted) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        while let Ok((tcp, _peer)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(tcp).await
                && sender.send(Ok::<_, std::io::Error>(stream)).await.is_err()
            {
                return;
            }
        }
    });
    let incoming = tokio_stream::wrappers::ReceiverStream::new(accepted);
    let stop = tokio::spawn(routes.serve_with_incoming(incoming)).abort_handle();
    TestControlPlane {
        address,
        ca_pem: ca_certificate.pem(),
        tried,
        joined,
        renewed,
        stop,
    }
}

impl TestControlPlane {
    fn bundle(&self, secret: &str) -> JoinBundle {
        let file = serde_json::json!({ "secret": secret, "caPem": self.ca_pem, "region": "north" });
        JoinBundle::parse(file.to_string().as_bytes()).unwrap()
    }

    fn link(&self, join: Option<JoinBundle>) -> ControlPlaneTransport {
        ControlPlaneTransport::MutualTls {
            addresses: vec![self.address.clone()],
            join,
        }
    }
}

#[tokio::test]
async fn a_proxy_joins_once_and_reconnects_with_its_certificate() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("proxy");
    let (first, trigger) = machine();
    let joining = options_in(&data_dir, control.link(Some(control.bundle("join_once"))));
    start(joining, &first).unwrap();
    first.readiness.ready().await;
    assert_eq!(control.joined.load(Ordering::SeqCst), 1);
    trigger.drain(HANG_GUARD).await;

    let (second, _trigger) = machine();
    let handle = start(options_in(&data_dir, control.link(None)), &second).unwrap();
    until(|| handle.status().connected).await;
    assert_eq!(control.joined.load(Ordering::SeqCst), 1);
}

/// Returns the names of the encrypted files in a directory.
fn files(folder: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sealed"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_join_token_is_used_only_after_the_key_is_on_disk() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    // A directory of this name makes writing fail.
    let in_the_way = folder.path().join("joining-key.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let (machine, _trigger) = machine();
    let joining = options_in(
        folder.path(),
        control.link(Some(control.bundle("join_once"))),
    );
    let handle = start(joining, &machine).unwrap();
    until(|| handle.status().problem.contains("cannot be kept")).await;
    assert_eq!(control.joined.load(Ordering::SeqCst), 0);
    std::fs::remove_dir(&in_the_way).unwrap();
    machine.readiness.ready().await;
    assert_eq!(control.joined.load(Ordering::SeqCst), 1);
    assert!(!files(folder.path()).contains(&"joining-key.sealed".to_owned()));
}

#[tokio::test]
async fn a_full_disk_does_not_waste_the_join_token() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("identity.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let (machine, _trigger) = machine();
    let joining = options_in(
        folder.path(),
        control.link(Some(control.bundle("join_once"))),
    );
    let handle = start(joining, &machine).unwrap();
    machine.readiness.ready().await;
    assert!(handle.status().connected);
    assert!(!files(folder.path()).contains(&"identity.sealed".to_owned()));
    std::fs::remove_dir(&in_the_way).unwrap();
    until(|| files(folder.path()).contains(&"identity.sealed".to_owned())).await;
    assert_eq!(control.joined.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn join_attempts_use_one_key_across_restarts() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let refused = async || {
        let (machine, trigger) = machine();
        let joining = options_in(
            folder.path(),
            control.link(Some(control.bundle("join_stale"))),
        );
        let handle = start(joining, &machine).unwrap();
        until(|| handle.status().problem.contains("cannot join")).await;
        trigger.drain(HANG_GUARD).await;
        std::fs::read(folder.path().join("joining-key.sealed")).unwrap()
    };
    assert_eq!(refused().await, refused().await);
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_expires() {
    let control = control_plane(Duration::from_millis(900)).await;
    let (machine, _trigger) = machine();
    let handle = start(
        options(control.link(Some(control.bundle("join_once")))),
        &machine,
    )
    .unwrap();
    machine.readiness.ready().await;
    until(|| control.renewed.load(Ordering::SeqCst) >= 1).await;
    assert!(handle.status().connected);
}

#[tokio::test]
async fn a_proxy_without_certificate_and_join_token_does_not_start() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let (machine, _trigger) = machine();
    let refused = start(options(control.link(None)), &machine).unwrap_err();
    assert!(matches!(refused, SyncError::NoIdentity));
    assert!(refused.to_string().contains("join-token"));
    control.stop.abort();
}

#[tokio::test]
async fn a_rejected_join_token_is_reported_with_the_next_step() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let (machine, _trigger) = machine();
    let handle = start(
        options(control.link(Some(control.bundle("join_stale")))),
        &machine,
    )
    .unwrap();
    until(|| handle.status().problem.contains("cannot join")).await;
    assert!(
        handle
            .status()
            .problem
            .contains("toolgate proxies join-token")
    );
    assert!(!machine.readiness.is_ready());
}

#[tokio::test]
async fn a_refused_join_token_is_tried_once_at_each_control_plane() {
    let control = control_plane(Duration::from_secs(3600)).await;
    let (machine, _trigger) = machine();
    let join = Some(control.bundle("join_stale"));
    // An address without a listener, and then two addresses of the same control plane.
    let addresses = vec![
        "127.0.0.1:1".to_owned(),
        control.address.clone(),
        control.address.clone(),
    ];
    let link = ControlPlaneTransport::MutualTls { addresses, join };
    let handle = start(options(link), &machine).unwrap();
    until(|| handle.status().problem.contains("not tried again")).await;
    let tried = control.tried.load(Ordering::SeqCst);
    assert!((2..=3).contains(&tried), "{tried}");
    // Far longer than the interval between attempts in these tests.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(control.tried.load(Ordering::SeqCst), tried);
    let warnings = machine.readiness.warnings();
    let told = |warning: &toolgate_runtime::readiness::ProcessWarning| {
        warning.subject == "certificate" && warning.text.contains("toolgate proxies join-token")
    };
    assert!(warnings.iter().any(told), "{warnings:?}");
}

/// Runs a proxy against a control plane whose clock differs, restarts it, and returns the numbers of joins and renewals.
async fn joins_and_renewals(clock_ahead: i64) -> (usize, usize) {
    let control = control_plane_at(Duration::from_secs(24 * 3600), clock_ahead).await;
    let folder = tempfile::tempdir().unwrap();
    for _start in 0..2 {
        let (machine, trigger) = machine();
        // The token is used up by the first start.
        let joining = options_in(
            folder.path(),
            control.link(Some(control.bundle("join_once"))),
        );
        let handle = start(joining, &machine).unwrap();
        until(|| handle.status().connected).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        trigger.drain(HANG_GUARD).await;
    }
    let joined = control.joined.load(Ordering::SeqCst);
    (joined, control.renewed.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_control_plane_with_another_clock_is_joined_once_and_asked_for_no_renewals() {
    const MINUTE: i64 = 60_000;
    for clock_ahead in [3, -3, 3 * 1440, -3 * 1440, 0] {
        let found = joins_and_renewals(clock_ahead * MINUTE).await;
        assert_eq!(found, (1, 0), "{clock_ahead} minutes ahead");
    }
}

#[tokio::test]
async fn a_certificate_that_seems_to_have_ended_is_renewed_before_a_join_token_is_used() {
    let lifetime = Duration::from_millis(200);
    let control = control_plane(lifetime).await;
    let folder = tempfile::tempdir().unwrap();
    let (first, trigger) = machine();
    let joining = options_in(
        folder.path(),
        control.link(Some(control.bundle("join_once"))),
    );
    start(joining, &first).unwrap();
    first.readiness.ready().await;
    trigger.drain(HANG_GUARD).await;
    tokio::time::sleep(lifetime * 2).await;
    let (joined, renewed) = (
        control.joined.load(Ordering::SeqCst),
        control.renewed.load(Ordering::SeqCst),
    );
    let (second, _trigger) = machine();
    let again = options_in(folder.path(), control.link(None));
    let handle = start(again, &second).unwrap();
    until(|| handle.status().connected).await;
    assert_eq!(control.joined.load(Ordering::SeqCst), joined);
    assert!(control.renewed.load(Ordering::SeqCst) > renewed);
}
