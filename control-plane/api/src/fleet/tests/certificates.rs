//! Tests of mutual TLS on a real socket: certificates that are accepted and rejected.

use std::net::SocketAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use toolgate_proto::credential::v1::GetKeyringRequest;
use toolgate_runtime::tls::{self, ClientAuth, ReloadableIdentity, TlsIdentity};

use super::*;

/// Certificate authority of the tests.
struct ClientAuthority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl ClientAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, usage: ExtendedKeyUsagePurpose, year: i32) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        TlsIdentity {
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// Starts a listener with mutual TLS under this authority.
async fn listen_for(rig: &FleetFixture, authority: &ClientAuthority) -> SocketAddr {
    let server = authority.issue(ExtendedKeyUsagePurpose::ServerAuth, 2200);
    let identity = ReloadableIdentity::new(server).unwrap();
    let trusted = [authority.certificate.clone()];
    let config = tls::mutual_server(&identity, &trusted, ClientAuth::Optional, tls::ALPN_H2);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = rig
        .fleet
        .clone()
        .serve(listener, PeerAuthentication::MutualTls(config.unwrap()));
    rig.fleet.serve.drain.spawn("fleet listener", serving);
    address
}

#[expect(clippy::disallowed_methods, reason = "a client of a test")]
async fn connect(
    address: SocketAddr,
    authority: &ClientAuthority,
    identity: Option<TlsIdentity>,
) -> Result<Channel, tonic::transport::Error> {
    let identity = identity.map(|identity| ReloadableIdentity::new(identity).unwrap());
    let trusted = [authority.certificate.clone()];
    let config = tls::client(&trusted, identity.as_ref(), tls::ALPN_H2).unwrap();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let connector = TlsConnector::from(Arc::clone(&config));
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await
}

/// Returns the status code of a keyring request.
async fn keyring(channel: Result<Channel, tonic::transport::Error>) -> Code {
    let Ok(channel) = channel else {
        return Code::Unavailable;
    };
    let mut client = CredentialsClient::new(channel);
    match client.get_keyring(GetKeyringRequest::default()).await {
        Ok(_keyring) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn only_a_proxy_certificate_of_our_authority_is_accepted() {
    let rig = fixture(None);
    let (ours, other) = (ClientAuthority::new(), ClientAuthority::new());
    let address = listen_for(&rig, &ours).await;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let named = |identity: TlsIdentity| {
        let der = identity.chain[0].to_vec();
        let id = "p1".parse().unwrap();
        rig.control_api.peers.lock().unwrap().insert(der, id);
        identity
    };
    let member = named(ours.issue(client.clone(), 2200));
    assert_eq!(
        keyring(connect(address, &ours, Some(member)).await).await,
        Code::Ok
    );
    let nameless = ours.issue(client.clone(), 2200);
    let nameless = connect(address, &ours, Some(nameless)).await;
    assert_eq!(keyring(nameless).await, Code::Unauthenticated);
    assert_eq!(
        keyring(connect(address, &ours, None).await).await,
        Code::Unauthenticated
    );
    for refused in [
        named(other.issue(client.clone(), 2200)),
        named(ours.issue(client, 2001)),
        named(ours.issue(ExtendedKeyUsagePurpose::ServerAuth, 2200)),
    ] {
        let refused = connect(address, &ours, Some(refused)).await;
        assert_ne!(keyring(refused).await, Code::Ok);
    }
}

#[tokio::test]
async fn without_a_certificate_only_join_is_allowed() {
    let rig = fixture(None);
    let ours = ClientAuthority::new();
    let address = listen_for(&rig, &ours).await;
    let channel = connect(address, &ours, None).await.unwrap();
    let request = JoinRequest {
        secret: "guess".into(),
        proxy_id: "p1".into(),
        csr_der: b"csr".to_vec(),
    };
    let refused = FleetClient::new(channel.clone())
        .join(request)
        .await
        .unwrap_err();
    assert!(refused.message().contains("join token"), "{refused:?}");
    let (_say, said) = mpsc::channel(1);
    let mut push = PushClient::new(channel.clone());
    let subscribed = push.subscribe(ReceiverStream::new(said)).await;
    assert_eq!(subscribed.unwrap_err().code(), Code::Unauthenticated);
    let revocations = push.revocations(RevocationsRequest::default()).await;
    assert_eq!(revocations.unwrap_err().code(), Code::Unauthenticated);
}
