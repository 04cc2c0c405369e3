//! Tests of the fleet listener over an in-memory connection.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Streaming,
    transport::{Channel, Endpoint},
};
use toolgate_control_core::{
    Command, OperatorObject,
    port::{PublishedState, StateReader as _},
};
use toolgate_model::{
    CallTimeouts, Credential, CredentialHosts, CredentialKind, Gateway, ObjectMeta, ObjectName,
    PrefixMode, Server, ServerBinding, Slug, Version,
};
use toolgate_proto::{
    credential::v1::{GetKeyringRequest, ResolveRequest, credentials_client::CredentialsClient},
    push::v1::{
        Ack, FromProxy, JoinRequest, Nack, Refused, RevocationsRequest, Update,
        fleet_client::FleetClient, from_proxy::Message, push_client::PushClient,
    },
};
use toolgate_runtime::drain::{self, DrainTrigger};
use toolgate_wire::{
    ProtoConversion as _,
    keys::ProxyKeyring,
    push::{self as wire, ProxyHello, ReceivedUpdate, UpdateAssembler},
};

use super::*;
use crate::memory::{HANG_GUARD, MemoryControlApi};

mod calls;
mod certificates;
mod leaving;
mod shares;

struct FleetFixture {
    control_api: Arc<MemoryControlApi>,
    fleet: FleetService,
    metrics: Metrics,
    actors: ActorSystem,
    trigger: DrainTrigger,
}

fn fixture(bomb: Option<&str>) -> FleetFixture {
    let mut control_api = MemoryControlApi::new();
    control_api.panic_on = bomb.map(|id| id.parse().unwrap());
    let control_api = Arc::new(control_api);
    let (drain, trigger) = drain::new();
    let actors = ActorSystem::start(1).unwrap();
    let shared: Arc<dyn ControlApi> = control_api.clone();
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let fleet = FleetService::new(shared, actors.clone(), readiness, &metrics, drain);
    FleetFixture {
        control_api,
        fleet,
        metrics,
        actors,
        trigger,
    }
}

async fn channel(fleet: &FleetService) -> Channel {
    let fleet = fleet.clone();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let stream = fleet.connect();
        async move { Ok::<_, std::io::Error>(TokioIo::new(stream)) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    endpoint.connect_with_connector(connector).await.unwrap()
}

fn name(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

/// Adds one resource to the snapshot.
fn add_token(control_api: &MemoryControlApi, id: &str) {
    control_api.token("acme", id, toolgate_model::AdminRole::None, false);
}

/// Creates a server, and a gateway of the same id that binds it. Returns the revision.
fn add_server(control_api: &MemoryControlApi, id: &str, credential: Option<&str>) -> u64 {
    add_unbound_server(control_api, id, credential);
    add_gateway(control_api, id)
}

/// Creates a gateway that binds the server of the same id. Returns the revision.
fn add_gateway(control_api: &MemoryControlApi, id: &str) -> u64 {
    let gateway = Gateway {
        identity_providers: Vec::new(),
        name: name(id),
        meta: ObjectMeta::default(),
        prefix: PrefixMode::Always,
        listing: Default::default(),
        bindings: vec![ServerBinding::all(id.parse().unwrap())],
        instructions: String::new(),
        rate_limits: Vec::new(),
    };
    let create = Command::Create(OperatorObject::Gateway(gateway));
    control_api.command(create).unwrap().revision
}

fn add_unbound_server(control_api: &MemoryControlApi, id: &str, credential: Option<&str>) -> u64 {
    let server = Server {
        name: name(id),
        meta: ObjectMeta::default(),
        source: toolgate_model::ServerSource::remote("https://example.com/mcp".parse().unwrap()),
        credential: credential.map(|id| id.parse().unwrap()),
        era: Default::default(),
        protocol_version: None,
        timeouts: CallTimeouts::default(),
        drift: Default::default(),
        relay: Default::default(),
        sharing: Default::default(),
        max_answer: Default::default(),
        rate_limits: Vec::new(),
    };
    let create = Command::Create(OperatorObject::Server(server));
    control_api.command(create).unwrap().revision
}

/// Proxy with an open push stream.
struct SubscribedProxy {
    sender: mpsc::Sender<FromProxy>,
    updates: Streaming<Update>,
    assembly: UpdateAssembler,
}

impl SubscribedProxy {
    async fn open(fleet: &FleetService, id: &str) -> Self {
        let (say, said) = mpsc::channel(4);
        let hello = ProxyHello {
            proxy: id.parse().unwrap(),
            region: "eu".into(),
            build: "1".into(),
            listen: "127.0.0.1:1".into(),
            started: Default::default(),
            held: Version::default(),
            resources: Default::default(),
            reads_continued: true,
        };
        let this = Message::Hello(hello.to_proto());
        say.send(FromProxy {
            message: Some(this),
        })
        .await
        .unwrap();
        let mut client = PushClient::new(channel(fleet).await);
        let updates = client.subscribe(ReceiverStream::new(said)).await.unwrap();
        Self {
            sender: say,
            updates: updates.into_inner(),
            assembly: UpdateAssembler::default(),
        }
    }

    async fn next(&mut self) -> Result<Option<ReceivedUpdate>, tonic::Status> {
        loop {
            let message = timeout(HANG_GUARD, self.updates.message()).await.unwrap()?;
            let Some(update) = message else {
                return Ok(None);
            };
            if let Some(incoming) = self.assembly.add_part(update).unwrap() {
                return Ok(Some(incoming));
            }
        }
    }

    async fn ack(&self, incoming: &ReceivedUpdate) {
        let ack = Message::Ack(Ack {
            nonce: incoming.nonce,
            version: Some(wire::version_to_proto(incoming.version)),
        });
        self.sender
            .send(FromProxy { message: Some(ack) })
            .await
            .unwrap();
    }
}

async fn recorded(
    control_api: &MemoryControlApi,
    id: &str,
    check: impl Fn(&toolgate_model::ProxyStatus) -> bool,
) {
    let id: Slug = id.parse().unwrap();
    let mut published = control_api.watch_state();
    let there = published.wait_for(|p| p.state.proxies.get(&id).is_some_and(|p| check(&p.object)));
    timeout(HANG_GUARD, there).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_proxy_gets_the_full_snapshot_then_deltas_and_its_acks_are_recorded() {
    let rig = fixture(None);
    add_token(&rig.control_api, "git");
    let mut proxy = SubscribedProxy::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    assert_eq!((first.puts.len(), first.rejected.len()), (1, 0));
    proxy.ack(&first).await;
    recorded(&rig.control_api, "p1", |p| {
        p.connected && p.acked == first.version
    })
    .await;
    add_token(&rig.control_api, "mail");
    let second = proxy.next().await.unwrap().unwrap();
    assert_eq!(second.puts.len(), 1);
    assert!(second.version > first.version);
    let nack = Message::Nack(Nack {
        nonce: second.nonce,
        version: Some(wire::version_to_proto(second.version)),
        refused: vec![Refused {
            key: Some(wire::key_to_proto(&second.puts[0].0)),
            reason: "not today".into(),
        }],
    });
    proxy
        .sender
        .send(FromProxy {
            message: Some(nack),
        })
        .await
        .unwrap();
    recorded(&rig.control_api, "p1", |p| {
        p.rejections.iter().any(|r| r.reason == "not today")
    })
    .await;
    drop(proxy);
    recorded(&rig.control_api, "p1", |p| !p.connected).await;
    let outcome = rig.trigger.drain(HANG_GUARD).await;
    assert_eq!(outcome, drain::DrainOutcome::Drained);
}

#[tokio::test]
async fn a_repaired_snapshot_is_pushed_even_with_an_unchanged_version() {
    let rig = fixture(None);
    add_token(&rig.control_api, "git");
    add_token(&rig.control_api, "mail");
    let whole = rig.control_api.published();
    let mut lossy = (*whole.compiled).clone();
    let mut snapshot = (*lossy.snapshot).clone();
    let last = snapshot.entries.keys().next_back().cloned();
    snapshot.entries.remove(&last.unwrap());
    lossy.snapshot = Arc::new(snapshot);
    rig.control_api.publish(PublishedState {
        state: Arc::clone(&whole.state),
        compiled: Arc::new(lossy),
        refusal: None,
    });
    let mut proxy = SubscribedProxy::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    assert_eq!(first.puts.len(), 1);
    proxy.ack(&first).await;
    recorded(&rig.control_api, "p1", |p| p.acked == first.version).await;
    rig.control_api.publish((*whole).clone());
    let repaired = proxy.next().await.unwrap().unwrap();
    assert_eq!(repaired.version, first.version);
    assert_eq!(repaired.puts.len(), 1);
}

#[tokio::test]
async fn a_panic_in_one_feed_ends_only_its_stream() {
    let rig = fixture(Some("bomb"));
    add_token(&rig.control_api, "git");
    let mut steady = SubscribedProxy::open(&rig.fleet, "steady").await;
    let first = steady.next().await.unwrap().unwrap();
    steady.ack(&first).await;
    let mut bomb = SubscribedProxy::open(&rig.fleet, "bomb").await;
    while let Ok(Some(_update)) = bomb.next().await {}
    add_token(&rig.control_api, "mail");
    let second = steady.next().await.unwrap().unwrap();
    assert_eq!(second.puts.len(), 1);
    steady.ack(&second).await;
    recorded(&rig.control_api, "steady", |p| p.acked == second.version).await;
    assert_eq!(rig.actors.counts().get("proxy_feed"), Some(&1));
}

#[tokio::test]
async fn a_second_stream_of_a_proxy_replaces_the_first() {
    let rig = fixture(None);
    add_token(&rig.control_api, "git");
    let mut first = SubscribedProxy::open(&rig.fleet, "p1").await;
    first.next().await.unwrap().unwrap();
    let mut second = SubscribedProxy::open(&rig.fleet, "p1").await;
    let incoming = second.next().await.unwrap().unwrap();
    while let Ok(Some(_update)) = first.next().await {}
    second.ack(&incoming).await;
    recorded(&rig.control_api, "p1", |p| {
        p.connected && p.acked == incoming.version
    })
    .await;
}

#[tokio::test]
async fn a_stream_without_a_valid_hello_is_ended() {
    let rig = fixture(None);
    let (say, said) = mpsc::channel(4);
    let mut client = PushClient::new(channel(&rig.fleet).await);
    say.send(FromProxy { message: None }).await.unwrap();
    let updates = client.subscribe(ReceiverStream::new(said)).await.unwrap();
    let ended = updates.into_inner().message().await.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn revocations_are_sent_in_full_and_then_incrementally() {
    let rig = fixture(None);
    let control_api = &rig.control_api;
    for secret in ["dead", "dying", "deleted"] {
        control_api.token("acme", secret, toolgate_model::AdminRole::None, false);
    }
    let hash = |secret: &str| {
        control_api
            .hash(
                toolgate_control_core::port::SecretPurpose::Bearer,
                secret.as_bytes(),
            )
            .0
            .to_vec()
    };
    control_api
        .command(Command::RevokeToken(name("dead")))
        .unwrap();
    let mut client = PushClient::new(channel(&rig.fleet).await);
    let request = RevocationsRequest::default();
    let mut stream = client.revocations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.complete);
    assert_eq!(first.token_hashes, [hash("dead")]);
    control_api
        .command(Command::RevokeToken(name("dying")))
        .unwrap();
    let added = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (added.complete, added.token_hashes),
        (false, vec![hash("dying")])
    );
    let key = toolgate_control_core::ObjectKey::Token(name("deleted"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    control_api.command(delete).unwrap();
    let added = stream.message().await.unwrap().unwrap();
    assert_eq!(added.token_hashes, [hash("deleted")]);
    assert!(added.sequence > first.sequence);
    let now = control_api.published().state.version();
    assert_eq!(wire::version(added.version.as_ref()), now);
    assert!(wire::version(first.version.as_ref()) < now);
}

#[tokio::test]
async fn a_credential_is_resolved_for_a_server_that_refers_to_it_with_its_revision() {
    let rig = fixture(None);
    let place = toolgate_control_core::port::EncryptionContext::credential_value(&name("git"));
    let value = rig
        .control_api
        .seal_secret(&place, b"Bearer s3cret")
        .unwrap();
    let credential = Credential {
        name: name("git"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["https://example.com".parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".into(),
            value,
        },
    };
    let create = Command::Create(OperatorObject::Credential(credential));
    let revision = rig.control_api.command(create).unwrap().revision;
    let mut client = CredentialsClient::new(channel(&rig.fleet).await);
    let mut request = ResolveRequest {
        org: "acme".into(),
        credential: "git".into(),
        revision,
        server: "forge".into(),
        ..ResolveRequest::default()
    };
    // Nothing refers to the credential yet.
    for server in ["forge", ""] {
        request.server = server.into();
        let refused = client.resolve(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{server:?}");
        assert!(refused.message().contains("spec.credential"), "{refused}");
    }
    add_server(&rig.control_api, "plain", None);
    let revision_with_server = add_server(&rig.control_api, "forge", Some("git"));
    request.config_revision = revision_with_server;
    request.server = "plain".into();
    let refused = client.resolve(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    // A proxy of the previous build names no server.
    request.server = String::new();
    client.resolve(request.clone()).await.unwrap();
    request.server = "forge".into();
    request.principal = Some(Default::default());
    let refused = client.resolve(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    request.principal = None;
    let resolved = client.resolve(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        (resolved.header.as_str(), resolved.revision),
        ("authorization", revision)
    );
    assert_eq!(resolved.value, b"Bearer s3cret");
    request.credential = "other".into();
    let missing = client.resolve(request).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let text = rig.metrics.render();
    let counted = "toolgate_credentials_unreferenced_total 4";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn a_keyring_that_the_proxy_has_is_not_sent_again() {
    let rig = fixture(None);
    let mut client = CredentialsClient::new(channel(&rig.fleet).await);
    let keyring = client.get_keyring(GetKeyringRequest::default());
    let keyring = keyring.await.unwrap().into_inner();
    let known = ProxyKeyring::from_proto(&keyring).unwrap().digest();
    for (digest, sent) in [(known.0.to_vec(), false), (vec![0; 32], true)] {
        let known_digest = digest;
        let answer = client.get_keyring(GetKeyringRequest { known_digest });
        let answer = answer.await.unwrap().into_inner();
        assert_eq!(answer.unchanged, !sent);
        assert_eq!(answer.token_key.is_empty(), !sent);
        assert_eq!(answer.client_state_keys.is_empty(), !sent);
    }
}

#[tokio::test]
async fn several_headers_and_query_parameters_are_resolved_as_one_credential() {
    use toolgate_control_core::port::EncryptionContext;
    use toolgate_model::{FieldPlace, SealedField};
    let rig = fixture(None);
    let field = |place, field: &str, value: &[u8]| {
        let context = EncryptionContext::credential_field(&name("git"), place, field);
        SealedField {
            place,
            name: field.to_owned(),
            value: rig.control_api.seal_secret(&context, value).unwrap(),
        }
    };
    let credential = Credential {
        name: name("git"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["https://example.com".parse().unwrap()]),
        kind: CredentialKind::RequestFields(vec![
            field(FieldPlace::Header, "x-app-id", b"id"),
            field(FieldPlace::Query, "api key", b"a&b"),
        ]),
    };
    let create = Command::Create(OperatorObject::Credential(credential));
    rig.control_api.command(create).unwrap();
    let config_revision = add_server(&rig.control_api, "forge", Some("git"));
    let mut client = CredentialsClient::new(channel(&rig.fleet).await);
    let request = ResolveRequest {
        org: "acme".into(),
        credential: "git".into(),
        server: "forge".into(),
        config_revision,
        ..ResolveRequest::default()
    };
    let resolved = client.resolve(request).await.unwrap().into_inner();
    assert_eq!(
        resolved.header, "",
        "a proxy of an earlier build refuses it"
    );
    let resolved = toolgate_wire::keys::ResolvedCredential::from_proto(&resolved).unwrap();
    let fields = resolved.fields.iter();
    let fields: Vec<_> = fields
        .map(|field| (field.place, field.name.as_str(), field.value.expose()))
        .collect();
    assert_eq!(
        fields,
        [
            (FieldPlace::Header, "x-app-id", &b"id"[..]),
            (FieldPlace::Query, "api key", &b"a&b"[..]),
        ]
    );
}

#[tokio::test]
async fn a_credential_is_resolved_only_for_a_server_that_a_gateway_binds() {
    let rig = fixture(None);
    let place = toolgate_control_core::port::EncryptionContext::credential_value(&name("git"));
    let credential = |hosts: &str| Credential {
        name: name("git"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec![hosts.parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".into(),
            value: rig
                .control_api
                .seal_secret(&place, b"Bearer s3cret")
                .unwrap(),
        },
    };
    let git = credential("https://example.com");
    let create = Command::Create(OperatorObject::Credential(git));
    rig.control_api.command(create).unwrap();
    let config_revision = add_server(&rig.control_api, "forge", Some("git"));
    add_unbound_server(&rig.control_api, "idle", Some("git"));
    let mut client = CredentialsClient::new(channel(&rig.fleet).await);
    let request = ResolveRequest {
        org: "acme".into(),
        credential: "git".into(),
        server: "forge".into(),
        config_revision,
        ..ResolveRequest::default()
    };
    let resolved = client.resolve(request.clone()).await.unwrap().into_inner();
    assert_eq!(resolved.hosts, ["https://example.com"]);
    // The credential of another organization, and the same names in another organization, do not exist. No gateway binds
    // the server `idle`.
    for (org, server) in [
        ("rival", "forge"),
        ("acme", "forge2"),
        ("acme", "idle"),
        ("rival", ""),
    ] {
        let mut foreign = request.clone();
        foreign.org = org.into();
        foreign.server = server.into();
        let refused = client.resolve(foreign).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{org} {server:?}");
    }
    // Not while no gateway binds the server either.
    use toolgate_control_core::ObjectKey;
    for key in [
        ObjectKey::Gateway(name("forge")),
        ObjectKey::Server(name("forge")),
    ] {
        let delete = Command::Delete {
            key,
            expected: None,
        };
        let config_revision = rig.control_api.command(delete).unwrap().revision;
        for server in ["forge", ""] {
            let gone = ResolveRequest {
                server: server.into(),
                config_revision,
                ..request.clone()
            };
            let refused = client.resolve(gone).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{server:?}");
            assert!(refused.message().contains("bind"), "{refused}");
        }
    }
}

/// Connects a client that the listener identifies as `peer`.
async fn as_peer(rig: &FleetFixture, peer: ConnectionPeer) -> FleetClient<Channel> {
    let serve = rig.fleet.serve.clone();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let (near, far) = tokio::io::duplex(4096);
        let (peer, serve) = (peer.clone(), serve.clone());
        let drain = serve.drain.clone();
        drain.spawn("test connection", listen::connection(far, peer, serve));
        async move { Ok::<_, std::io::Error>(TokioIo::new(near)) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    FleetClient::new(endpoint.connect_with_connector(connector).await.unwrap())
}

#[tokio::test]
async fn a_join_token_works_once_and_a_bad_request_does_not_consume_it() {
    let rig = fixture(None);
    let secret = "join-secret";
    let token = toolgate_control_core::JoinToken {
        hash: rig.control_api.hash(
            toolgate_control_core::port::SecretPurpose::Join,
            secret.as_bytes(),
        ),
        region: "eu".into(),
        expires: rig.control_api.now().after(Duration::from_secs(60)),
    };
    rig.control_api
        .command(Command::CreateJoinToken(token))
        .unwrap();
    let mut newcomer = as_peer(&rig, ConnectionPeer::Unknown).await;
    let request = |secret: &str, csr: &[u8]| JoinRequest {
        secret: secret.into(),
        proxy_id: "p1".into(),
        csr_der: csr.to_vec(),
    };
    let wrong = newcomer.join(request("guess", b"csr")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    let bad = newcomer.join(request(secret, b"bad")).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let certificate = newcomer
        .join(request(secret, b"csr"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(certificate.chain_der, [b"csr".to_vec()]);
    let again = newcomer.join(request(secret, b"csr")).await.unwrap_err();
    assert_eq!(again.code(), Code::Unauthenticated);
    assert_eq!(again.message(), wrong.message());
}

/// Records a connected proxy in the store.
fn record(rig: &FleetFixture, id: &str) {
    let proxy = toolgate_model::ProxyStatus {
        id: id.parse().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Default::default(),
        last_seen: rig.control_api.now(),
        connected: true,
        stream_started: Default::default(),
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    rig.control_api
        .command(Command::RecordProxy(proxy))
        .unwrap();
}

#[tokio::test]
async fn a_proxy_id_can_join_again_once_its_old_instance_is_silent() {
    let rig = fixture(None);
    let leave = |rig: &FleetFixture, secret: &str| {
        let token = toolgate_control_core::JoinToken {
            hash: rig.control_api.hash(
                toolgate_control_core::port::SecretPurpose::Join,
                secret.as_bytes(),
            ),
            region: String::new(),
            expires: rig.control_api.now().after(Duration::from_secs(60)),
        };
        rig.control_api
            .command(Command::CreateJoinToken(token))
            .unwrap();
        JoinRequest {
            secret: secret.into(),
            proxy_id: "p1".into(),
            csr_der: b"csr".to_vec(),
        }
    };
    // The control plane of the proxy was killed and did not record the disconnect.
    record(&rig, "p1");
    let mut newcomer = as_peer(&rig, ConnectionPeer::Unknown).await;
    let taken = newcomer.join(leave(&rig, "early")).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    rig.control_api.clock.advance(Duration::from_secs(91));
    newcomer.join(leave(&rig, "later")).await.unwrap();
}

#[tokio::test]
async fn an_expired_join_token_is_rejected() {
    let rig = fixture(None);
    let token = toolgate_control_core::JoinToken {
        hash: rig
            .control_api
            .hash(toolgate_control_core::port::SecretPurpose::Join, b"late"),
        region: String::new(),
        expires: rig.control_api.now().after(Duration::from_secs(60)),
    };
    rig.control_api
        .command(Command::CreateJoinToken(token))
        .unwrap();
    rig.control_api.clock.advance(Duration::from_secs(61));
    let mut newcomer = as_peer(&rig, ConnectionPeer::Unknown).await;
    let request = JoinRequest {
        secret: "late".into(),
        proxy_id: "p1".into(),
        csr_der: b"csr".to_vec(),
    };
    assert_eq!(
        newcomer.join(request).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_proxy_renews_only_its_own_certificate() {
    let rig = fixture(None);
    let mut member = as_peer(&rig, ConnectionPeer::Proxy("p1".parse().unwrap())).await;
    let unseen = member.renew(toolgate_proto::push::v1::RenewRequest {
        csr_der: b"csr".to_vec(),
    });
    assert_eq!(unseen.await.unwrap_err().code(), Code::FailedPrecondition);
    record(&rig, "p1");
    let renewed = member.renew(toolgate_proto::push::v1::RenewRequest {
        csr_der: b"csr".to_vec(),
    });
    assert_eq!(
        renewed.await.unwrap().into_inner().chain_der,
        [b"csr".to_vec()]
    );
    let serve = rig.fleet.serve.clone();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let (near, far) = tokio::io::duplex(4096);
        let (peer, serve) = (ConnectionPeer::Proxy("p1".parse().unwrap()), serve.clone());
        let drain = serve.drain.clone();
        drain.spawn("test connection", listen::connection(far, peer, serve));
        async move { Ok::<_, std::io::Error>(TokioIo::new(near)) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    let mut client = PushClient::new(endpoint.connect_with_connector(connector).await.unwrap());
    let (say, said) = mpsc::channel(4);
    let hello = toolgate_proto::push::v1::Hello {
        proxy_id: "p2".into(),
        ..Default::default()
    };
    let message = Some(Message::Hello(hello));
    say.send(FromProxy { message }).await.unwrap();
    let updates = client.subscribe(ReceiverStream::new(said)).await.unwrap();
    let ended = updates.into_inner().message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_deleted_proxy_loses_all_access_immediately() {
    let rig = fixture(None);
    add_token(&rig.control_api, "git");
    let mut proxy = SubscribedProxy::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    proxy.ack(&first).await;
    recorded(&rig.control_api, "p1", |p| p.acked == first.version).await;
    let p1: Slug = "p1".parse().unwrap();
    rig.control_api
        .command(Command::ForgetProxy(p1.clone()))
        .unwrap();

    let ended = proxy.next().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert!(ended.message().contains("deleted"), "{ended}");
    let mut member = as_peer(&rig, ConnectionPeer::Proxy(p1.clone())).await;
    let renew = toolgate_proto::push::v1::RenewRequest {
        csr_der: b"csr".to_vec(),
    };
    let refused = member.renew(renew.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let gate = crate::access_control::AccessControl {
        state: rig.control_api.clone(),
        tokens: rig.control_api.clone(),
        listener: ListenerKind::Fleet,
        permits: Arc::new(Semaphore::new(1)),
        unknown_tokens: crate::access_control::UnknownTokens::default(),
        deadline: DEADLINE,
    };
    for row in crate::rights::METHOD_RULES
        .iter()
        .filter(|r| r.listener == ListenerKind::Fleet)
    {
        let (path, peer) = (
            format!("/{}", row.method),
            ConnectionPeer::Proxy(p1.clone()),
        );
        let refused = gate
            .authorize(&path, &http::HeaderMap::new(), peer)
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{path}");
    }
    let mut again = SubscribedProxy::open(&rig.fleet, "p1").await;
    assert_eq!(
        again.next().await.unwrap_err().code(),
        Code::PermissionDenied
    );
    // The last update of the feed has not recreated the record of the proxy.
    assert!(!rig.control_api.published().state.proxies.contains(&p1));

    rig.control_api
        .clock
        .advance(toolgate_control_core::limits::EXPULSION_PERIOD);
    record(&rig, "p1");
    member.renew(renew).await.unwrap();
}
