//! Tests of the fleet listener over an in-memory connection.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Streaming,
    transport::{Channel, Endpoint},
};
use toolgate_control_core::{Command, Desired};
use toolgate_model::{Credential, CredentialKind, Meta, Name, Server, Slug, Timeouts, Version};
use toolgate_proto::{
    credential::v1::{ResolveRequest, credentials_client::CredentialsClient},
    push::v1::{
        Ack, FromProxy, JoinRequest, Nack, Refused, RevocationsRequest, Update,
        fleet_client::FleetClient, from_proxy::Message, push_client::PushClient,
    },
};
use toolgate_runtime::drain::{self, Trigger};
use toolgate_wire::{
    Wire as _,
    push::{self as wire, Assembly, Hello, Incoming},
};

use super::*;
use crate::{desk::Published, memory::MemoryDesk};

mod certificates;
mod leaving;

struct Rig {
    desk: Arc<MemoryDesk>,
    fleet: Fleet,
    actors: ActorSystem,
    trigger: Trigger,
}

fn rig(bomb: Option<&str>) -> Rig {
    let mut desk = MemoryDesk::new();
    desk.bomb = bomb.map(|id| id.parse().unwrap());
    let desk = Arc::new(desk);
    let (drain, trigger) = drain::new();
    let actors = ActorSystem::start(1).unwrap();
    let shared: Arc<dyn Desk> = desk.clone();
    let fleet = Fleet::new(shared, actors.clone(), Readiness::new(), drain);
    Rig {
        desk,
        fleet,
        actors,
        trigger,
    }
}

async fn channel(fleet: &Fleet) -> Channel {
    let fleet = fleet.clone();
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let stream = fleet.connect();
        async move { Ok::<_, std::io::Error>(TokioIo::new(stream)) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    endpoint.connect_with_connector(connector).await.unwrap()
}

fn name(id: &str) -> Name {
    Name::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn add_server(desk: &MemoryDesk, id: &str) {
    let server = Server {
        name: name(id),
        meta: Meta::default(),
        url: "https://example.com/mcp".parse().unwrap(),
        credential: None,
        era: Default::default(),
        timeouts: Timeouts::default(),
        drift: Default::default(),
        relay: Default::default(),
        sharing: Default::default(),
        max_answer: Default::default(),
    };
    desk.command(Command::Create(Desired::Server(server)))
        .unwrap();
}

/// Proxy with an open push stream.
struct Subscribed {
    say: mpsc::Sender<FromProxy>,
    updates: Streaming<Update>,
    assembly: Assembly,
}

impl Subscribed {
    async fn open(fleet: &Fleet, id: &str) -> Self {
        let (say, said) = mpsc::channel(4);
        let hello = Hello {
            proxy: id.parse().unwrap(),
            region: "eu".into(),
            build: "1".into(),
            listen: "127.0.0.1:1".into(),
            started: Default::default(),
            held: Version::default(),
            resources: Default::default(),
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
            say,
            updates: updates.into_inner(),
            assembly: Assembly::default(),
        }
    }

    async fn next(&mut self) -> Result<Option<Incoming>, tonic::Status> {
        loop {
            let deadline = Duration::from_secs(10);
            let message = timeout(deadline, self.updates.message()).await.unwrap()?;
            let Some(update) = message else {
                return Ok(None);
            };
            if let Some(incoming) = self.assembly.take(update).unwrap() {
                return Ok(Some(incoming));
            }
        }
    }

    async fn ack(&self, incoming: &Incoming) {
        let ack = Message::Ack(Ack {
            nonce: incoming.nonce,
            version: Some(wire::version_to_proto(incoming.version)),
        });
        self.say
            .send(FromProxy { message: Some(ack) })
            .await
            .unwrap();
    }
}

async fn recorded(desk: &MemoryDesk, id: &str, check: impl Fn(&toolgate_model::Proxy) -> bool) {
    let id: Slug = id.parse().unwrap();
    let mut published = desk.published();
    let there = published.wait_for(|p| p.state.proxies.get(&id).is_some_and(|p| check(&p.object)));
    timeout(Duration::from_secs(10), there)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_proxy_gets_everything_then_what_changes_and_its_answers_are_recorded() {
    let rig = rig(None);
    add_server(&rig.desk, "git");
    let mut proxy = Subscribed::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    assert_eq!((first.puts.len(), first.refused.len()), (1, 0));
    proxy.ack(&first).await;
    recorded(&rig.desk, "p1", |p| p.connected && p.acked == first.version).await;
    add_server(&rig.desk, "mail");
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
        .say
        .send(FromProxy {
            message: Some(nack),
        })
        .await
        .unwrap();
    recorded(&rig.desk, "p1", |p| {
        p.refusals.iter().any(|r| r.reason == "not today")
    })
    .await;
    drop(proxy);
    recorded(&rig.desk, "p1", |p| !p.connected).await;
    let outcome = rig.trigger.drain(Duration::from_secs(5)).await;
    assert_eq!(outcome, drain::DrainOutcome::Drained);
}

#[tokio::test]
async fn a_repaired_snapshot_reaches_proxies_even_under_the_same_version() {
    let rig = rig(None);
    add_server(&rig.desk, "git");
    add_server(&rig.desk, "mail");
    let whole = Arc::clone(&rig.desk.published().borrow());
    let mut lossy = (*whole.compiled).clone();
    let mut snapshot = (*lossy.snapshot).clone();
    snapshot.entries.pop_last();
    lossy.snapshot = Arc::new(snapshot);
    rig.desk.publish(Published {
        state: Arc::clone(&whole.state),
        compiled: Arc::new(lossy),
    });
    let mut proxy = Subscribed::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    assert_eq!(first.puts.len(), 1);
    proxy.ack(&first).await;
    recorded(&rig.desk, "p1", |p| p.acked == first.version).await;
    rig.desk.publish((*whole).clone());
    let repaired = proxy.next().await.unwrap().unwrap();
    assert_eq!(repaired.version, first.version);
    assert_eq!(repaired.puts.len(), 1);
}

#[tokio::test]
async fn a_panic_in_one_feed_ends_its_stream_and_no_other() {
    let rig = rig(Some("bomb"));
    add_server(&rig.desk, "git");
    let mut steady = Subscribed::open(&rig.fleet, "steady").await;
    let first = steady.next().await.unwrap().unwrap();
    steady.ack(&first).await;
    let mut bomb = Subscribed::open(&rig.fleet, "bomb").await;
    while let Ok(Some(_update)) = bomb.next().await {}
    add_server(&rig.desk, "mail");
    let second = steady.next().await.unwrap().unwrap();
    assert_eq!(second.puts.len(), 1);
    steady.ack(&second).await;
    recorded(&rig.desk, "steady", |p| p.acked == second.version).await;
    assert_eq!(rig.actors.counts().get("proxy_feed"), Some(&1));
}

#[tokio::test]
async fn a_second_stream_of_a_proxy_replaces_the_first() {
    let rig = rig(None);
    add_server(&rig.desk, "git");
    let mut first = Subscribed::open(&rig.fleet, "p1").await;
    first.next().await.unwrap().unwrap();
    let mut second = Subscribed::open(&rig.fleet, "p1").await;
    let incoming = second.next().await.unwrap().unwrap();
    while let Ok(Some(_update)) = first.next().await {}
    second.ack(&incoming).await;
    recorded(&rig.desk, "p1", |p| {
        p.connected && p.acked == incoming.version
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_does_not_introduce_itself_properly_is_ended() {
    let rig = rig(None);
    let (say, said) = mpsc::channel(4);
    let mut client = PushClient::new(channel(&rig.fleet).await);
    say.send(FromProxy { message: None }).await.unwrap();
    let updates = client.subscribe(ReceiverStream::new(said)).await.unwrap();
    let ended = updates.into_inner().message().await.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn revocations_tell_all_at_first_and_then_what_is_added() {
    let rig = rig(None);
    let desk = &rig.desk;
    for secret in ["dead", "dying", "deleted"] {
        desk.token("acme", secret, toolgate_model::AdminRole::None, false);
    }
    let hash = |secret: &str| {
        desk.hash(crate::Purpose::Bearer, secret.as_bytes())
            .0
            .to_vec()
    };
    desk.command(Command::RevokeToken(name("dead"))).unwrap();
    let mut client = PushClient::new(channel(&rig.fleet).await);
    let request = RevocationsRequest::default();
    let mut stream = client.revocations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.complete);
    assert_eq!(first.token_hashes, [hash("dead")]);
    desk.command(Command::RevokeToken(name("dying"))).unwrap();
    let added = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (added.complete, added.token_hashes),
        (false, vec![hash("dying")])
    );
    let key = toolgate_control_core::Key::Token(name("deleted"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    desk.command(delete).unwrap();
    let added = stream.message().await.unwrap().unwrap();
    assert_eq!(added.token_hashes, [hash("deleted")]);
    assert!(added.sequence > first.sequence);
    let now = desk.published().borrow().state.version();
    assert_eq!(wire::version(added.version.as_ref()), now);
    assert!(wire::version(first.version.as_ref()) < now);
}

#[tokio::test]
async fn a_credential_is_resolved_with_its_revision() {
    let rig = rig(None);
    let place = crate::kinds::place(&name("git"));
    let value = rig.desk.seal().seal(&place, b"Bearer s3cret").unwrap();
    let credential = Credential {
        name: name("git"),
        meta: Meta::default(),
        kind: CredentialKind::StaticHeader {
            header: "authorization".into(),
            value,
        },
    };
    let create = Command::Create(Desired::Credential(credential));
    let revision = rig.desk.command(create).unwrap().revision;
    let mut client = CredentialsClient::new(channel(&rig.fleet).await);
    let mut request = ResolveRequest {
        org: "acme".into(),
        credential: "git".into(),
        revision,
    };
    let resolved = client.resolve(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        (resolved.header.as_str(), resolved.revision),
        ("authorization", revision)
    );
    assert_eq!(resolved.value, b"Bearer s3cret");
    request.credential = "other".into();
    let missing = client.resolve(request).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let keyring = client.get_keyring(toolgate_proto::credential::v1::GetKeyringRequest {});
    let keyring = keyring.await.unwrap().into_inner();
    toolgate_wire::keys::Keyring::from_proto(&keyring).unwrap();
}

/// Connects a client that the listener identifies as `peer`.
async fn as_peer(rig: &Rig, peer: Peer) -> FleetClient<Channel> {
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
async fn a_join_token_lets_one_proxy_in_once_and_a_bad_request_does_not_use_it_up() {
    let rig = rig(None);
    let secret = "join-secret";
    let token = toolgate_control_core::JoinToken {
        hash: rig.desk.hash(crate::Purpose::Join, secret.as_bytes()),
        region: "eu".into(),
        expires: rig.desk.now().after(Duration::from_secs(60)),
    };
    rig.desk.command(Command::CreateJoinToken(token)).unwrap();
    let mut newcomer = as_peer(&rig, Peer::Unknown).await;
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
fn record(rig: &Rig, id: &str) {
    let proxy = toolgate_model::Proxy {
        id: id.parse().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Default::default(),
        last_seen: rig.desk.now(),
        connected: true,
        held: Version::default(),
        acked: Version::default(),
        refusals: Vec::new(),
    };
    rig.desk.command(Command::RecordProxy(proxy)).unwrap();
}

#[tokio::test]
async fn a_proxy_that_lost_its_disk_joins_again_when_nobody_hears_of_it_any_more() {
    let rig = rig(None);
    let leave = |rig: &Rig, secret: &str| {
        let token = toolgate_control_core::JoinToken {
            hash: rig.desk.hash(crate::Purpose::Join, secret.as_bytes()),
            region: String::new(),
            expires: rig.desk.now().after(Duration::from_secs(60)),
        };
        rig.desk.command(Command::CreateJoinToken(token)).unwrap();
        JoinRequest {
            secret: secret.into(),
            proxy_id: "p1".into(),
            csr_der: b"csr".to_vec(),
        }
    };
    // The control plane of the proxy was killed and did not record the disconnect.
    record(&rig, "p1");
    let mut newcomer = as_peer(&rig, Peer::Unknown).await;
    let taken = newcomer.join(leave(&rig, "early")).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    rig.desk.clock.advance(Duration::from_secs(91));
    newcomer.join(leave(&rig, "later")).await.unwrap();
}

#[tokio::test]
async fn a_join_token_that_has_expired_lets_nobody_in() {
    let rig = rig(None);
    let token = toolgate_control_core::JoinToken {
        hash: rig.desk.hash(crate::Purpose::Join, b"late"),
        region: String::new(),
        expires: rig.desk.now().after(Duration::from_secs(60)),
    };
    rig.desk.command(Command::CreateJoinToken(token)).unwrap();
    rig.desk.clock.advance(Duration::from_secs(61));
    let mut newcomer = as_peer(&rig, Peer::Unknown).await;
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
async fn a_proxy_renews_for_itself_and_cannot_speak_for_another() {
    let rig = rig(None);
    let mut member = as_peer(&rig, Peer::Proxy("p1".parse().unwrap())).await;
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
        let (peer, serve) = (Peer::Proxy("p1".parse().unwrap()), serve.clone());
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
async fn a_deleted_proxy_is_out_at_once_and_nothing_of_it_works() {
    let rig = rig(None);
    add_server(&rig.desk, "git");
    let mut proxy = Subscribed::open(&rig.fleet, "p1").await;
    let first = proxy.next().await.unwrap().unwrap();
    proxy.ack(&first).await;
    recorded(&rig.desk, "p1", |p| p.acked == first.version).await;
    let p1: Slug = "p1".parse().unwrap();
    rig.desk.command(Command::ForgetProxy(p1.clone())).unwrap();

    let ended = proxy.next().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert!(ended.message().contains("deleted"), "{ended}");
    let mut member = as_peer(&rig, Peer::Proxy(p1.clone())).await;
    let renew = toolgate_proto::push::v1::RenewRequest {
        csr_der: b"csr".to_vec(),
    };
    let refused = member.renew(renew.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let gate = crate::gate::Gate {
        desk: rig.desk.clone(),
        side: Side::Fleet,
        permits: Arc::new(Semaphore::new(1)),
        deadline: DEADLINE,
    };
    for row in crate::rights::TABLE
        .iter()
        .filter(|r| r.side == Side::Fleet)
    {
        let (path, peer) = (format!("/{}", row.method), Peer::Proxy(p1.clone()));
        let refused = gate
            .admit(&path, &http::HeaderMap::new(), peer)
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{path}");
    }
    let mut again = Subscribed::open(&rig.fleet, "p1").await;
    assert_eq!(
        again.next().await.unwrap_err().code(),
        Code::PermissionDenied
    );
    // The last update of the feed has not recreated the record of the proxy.
    assert!(!rig.desk.published().borrow().state.proxies.contains(&p1));

    rig.desk
        .clock
        .advance(toolgate_control_core::limits::EXPULSION);
    record(&rig, "p1");
    member.renew(renew).await.unwrap();
}
