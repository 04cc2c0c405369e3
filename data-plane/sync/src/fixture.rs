//! Small configuration for tests, and a fake control plane.

use std::{
    collections::BTreeMap,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};
use toolgate_model::{
    AllowList, CallTimeouts, Definition, Digest, Era, ObjectName, ResourceKey, Snapshot,
    SnapshotResource, SnapshotResourceKind, Timestamp, TokenHash, TokenSubject, Version,
    snapshot::{
        CredentialRef, DefinitionsResource, ExposedTool, GatewayResource, ServerResource,
        SnapshotEntry, TokenResource,
    },
};
use toolgate_proto::{
    credential::v1::{self as cpb, credentials_server::Credentials},
    push::v1::{self as pb, fleet_server::Fleet, from_proxy::Message, push_server::Push},
};
use toolgate_runtime::{DrainTrigger, Metrics, Readiness, clock, drain, memory};
use toolgate_wire::push::updates;

use crate::{ControlPlaneTransport, ProxyContext, SyncHandle, SyncOptions, start::start};

pub(crate) fn key(kind: SnapshotResourceKind, id: &str) -> ResourceKey {
    let name = ObjectName::new("acme".parse().unwrap(), id.parse().unwrap());
    ResourceKey { kind, name }
}

pub(crate) fn version(revision: u64) -> Version {
    Version { epoch: 1, revision }
}

pub(crate) fn token(id: &str, hash: u8) -> (ResourceKey, SnapshotEntry) {
    let resource = SnapshotResource::Token(TokenResource {
        hash: TokenHash([hash; 32]),
        subject: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        rate_limits: Vec::new(),
    });
    (
        key(SnapshotResourceKind::Token, id),
        SnapshotEntry::new(resource),
    )
}

pub(crate) fn server(id: &str, url: &str, credential: Option<u64>) -> (ResourceKey, SnapshotEntry) {
    let id_of = |revision| CredentialRef {
        id: format!("{id}-key").parse().unwrap(),
        revision,
        scope: Default::default(),
    };
    let resource = SnapshotResource::Server(ServerResource {
        endpoints: url.parse().unwrap(),
        credential: credential.map(id_of),
        era: Some(Era::Modern),
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts: CallTimeouts::default(),
        relay: toolgate_model::RelayPolicy::default(),
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    });
    (
        key(SnapshotResourceKind::Server, id),
        SnapshotEntry::new(resource),
    )
}

pub(crate) fn catalogue(id: &str) -> (ResourceKey, SnapshotEntry) {
    let json = r#"{"name":"echo","inputSchema":{"type":"object"}}"#;
    let digest = Digest::of_bytes(json.as_bytes());
    let tool = Definition {
        name: "echo".to_owned(),
        digest,
        json: json.into(),
    };
    let resource = SnapshotResource::Catalogue(DefinitionsResource {
        tools: vec![tool],
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        ..DefinitionsResource::default()
    });
    (
        key(SnapshotResourceKind::Catalogue, id),
        SnapshotEntry::new(resource),
    )
}

pub(crate) fn gateway(
    id: &str,
    of: &str,
    must_understand: &[&str],
) -> (ResourceKey, SnapshotEntry) {
    let json = r#"{"name":"echo","inputSchema":{"type":"object"}}"#;
    let resource = SnapshotResource::Gateway(GatewayResource {
        display_name: id.to_owned(),
        instructions: String::new(),
        tools: vec![ExposedTool {
            exposed: format!("{of}__echo"),
            server: of.parse().unwrap(),
            original: "echo".to_owned(),
            digest: Digest::of_bytes(json.as_bytes()),
            shape: None,
        }],
        servers: vec![of.parse().unwrap()],
        must_understand: must_understand
            .iter()
            .map(|field| (*field).to_owned())
            .collect(),
        ..GatewayResource::default()
    });
    (
        key(SnapshotResourceKind::Gateway, id),
        SnapshotEntry::new(resource),
    )
}

pub(crate) fn snapshot(revision: u64, entries: Vec<(ResourceKey, SnapshotEntry)>) -> Snapshot {
    Snapshot {
        version: version(revision),
        entries: entries.into_iter().collect(),
    }
}

/// Returns a snapshot with one gateway, its server and a token.
pub(crate) fn small(revision: u64) -> Snapshot {
    let server = server("files", "http://files.test/mcp", Some(3));
    let entries = vec![
        gateway("tools", "files", &[]),
        server,
        catalogue("files"),
        token("ci", 7),
    ];
    snapshot(revision, entries)
}

/// Modification of an update, to make it invalid.
pub(crate) type UpdateMutator = fn(&mut pb::Update);

/// Fake control plane with the messages that it received.
#[derive(Clone)]
pub(crate) struct FakeControlPlane {
    pub(crate) wanted: watch::Sender<Snapshot>,
    pub(crate) revoked: watch::Sender<pb::Revocations>,
    /// Ends all subscriptions when it changes.
    pub(crate) disconnect: watch::Sender<u32>,
    pub(crate) hellos: Arc<Mutex<Vec<pb::Hello>>>,
    pub(crate) hello_times: Arc<Mutex<Vec<tokio::time::Instant>>>,
    pub(crate) answers: Arc<Mutex<Vec<Message>>>,
    pub(crate) resolved: Arc<AtomicUsize>,
    /// Applied to every update before it is sent.
    pub(crate) mutator: Arc<Mutex<Option<UpdateMutator>>>,
    /// Status with which subscriptions are refused.
    pub(crate) refusal: Arc<Mutex<Option<Status>>>,
    reports: Arc<Mutex<Vec<pb::ProxyReport>>>,
    /// Queries for records of requests.
    pub(crate) queries: watch::Sender<pb::CallQueries>,
    /// Messages of the streams of records.
    pub(crate) call_reports: Arc<Mutex<Vec<pb::CallReport>>>,
    /// Time of its clock minus that of the machine, in milliseconds.
    clock_ahead: Arc<AtomicI64>,
}

impl FakeControlPlane {
    pub(crate) fn new(wanted: Snapshot) -> Self {
        let none = pb::Revocations {
            complete: true,
            ..pb::Revocations::default()
        };
        Self {
            wanted: watch::Sender::new(wanted),
            revoked: watch::Sender::new(none),
            disconnect: watch::Sender::new(0),
            hellos: Arc::default(),
            hello_times: Arc::default(),
            answers: Arc::default(),
            resolved: Arc::default(),
            mutator: Arc::default(),
            refusal: Arc::default(),
            reports: Arc::default(),
            queries: watch::Sender::default(),
            call_reports: Arc::default(),
            clock_ahead: Arc::default(),
        }
    }

    pub(crate) fn set_clock_ahead(&self, milliseconds: i64) {
        self.clock_ahead.store(milliseconds, Ordering::SeqCst);
    }

    pub(crate) fn reports(&self) -> Vec<pb::ProxyReport> {
        self.reports.lock().unwrap().clone()
    }

    pub(crate) fn routes(&self) -> tonic::transport::server::Router {
        tonic::transport::Server::builder()
            .add_service(pb::push_server::PushServer::new(self.clone()))
            .add_service(cpb::credentials_server::CredentialsServer::new(
                self.clone(),
            ))
    }

    /// Serves over an in-memory transport.
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    pub(crate) fn dialer(&self) -> memory::MemoryDialer {
        let (dialer, incoming) = memory::pair();
        tokio::spawn(self.routes().serve_with_incoming(incoming));
        dialer
    }

    pub(crate) fn nacks(&self) -> Vec<pb::Nack> {
        let answers = self.answers.lock().unwrap();
        let nack = |answer: &Message| match answer {
            Message::Nack(nack) => Some(nack.clone()),
            Message::Ack(_) | Message::Hello(_) => None,
        };
        answers.iter().filter_map(nack).collect()
    }
}

type BoxedStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Push for FakeControlPlane {
    type SubscribeStream = BoxedStream<pb::Update>;
    type RevocationsStream = BoxedStream<pb::Revocations>;
    type CallsStream = BoxedStream<pb::CallQueries>;

    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    async fn subscribe(
        &self,
        request: Request<Streaming<pb::FromProxy>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let mut incoming = request.into_inner();
        let (sender, updates_out) = mpsc::channel(8);
        let fake = self.clone();
        tokio::spawn(async move {
            let mut wanted = fake.wanted.subscribe();
            let mut cut = fake.disconnect.subscribe();
            let mut held = BTreeMap::new();
            let mut nonce = 0;
            loop {
                tokio::select! {
                    _ = cut.changed() => return,
                    message = incoming.message() => match message {
                        Ok(Some(pb::FromProxy { message: Some(Message::Hello(hello)) })) => {
                            held = toolgate_wire::push::digests(&hello.resources);
                            fake.hellos.lock().unwrap().push(hello);
                            let now = tokio::time::Instant::now();
                            fake.hello_times.lock().unwrap().push(now);
                        }
                        Ok(Some(pb::FromProxy { message: Some(answer) })) => {
                            fake.answers.lock().unwrap().push(answer);
                            continue;
                        }
                        Ok(_) | Err(_) => return,
                    },
                    _ = wanted.changed() => {}
                }
                let snapshot = wanted.borrow_and_update().clone();
                nonce += 1;
                for mut update in updates(nonce, snapshot.since(&held)) {
                    if let Some(poison) = *fake.mutator.lock().unwrap() {
                        poison(&mut update);
                    }
                    if sender.send(Ok(update)).await.is_err() {
                        return;
                    }
                }
                held = snapshot.digests();
            }
        });
        Ok(Response::new(ReceiverStream::new(updates_out).boxed()))
    }

    async fn revocations(
        &self,
        _request: Request<pb::RevocationsRequest>,
    ) -> Result<Response<Self::RevocationsStream>, Status> {
        let messages = WatchStream::new(self.revoked.subscribe()).map(Ok);
        Ok(Response::new(messages.boxed()))
    }

    async fn report(
        &self,
        request: Request<pb::ProxyReport>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let ahead = self.clock_ahead.load(Ordering::SeqCst);
        let now = clock::system().now().0.saturating_add_signed(ahead);
        self.reports.lock().unwrap().push(request.into_inner());
        Ok(Response::new(pb::ReportResponse {
            received_time_ms: now,
        }))
    }

    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    async fn calls(
        &self,
        request: Request<Streaming<pb::CallReport>>,
    ) -> Result<Response<Self::CallsStream>, Status> {
        let mut incoming = request.into_inner();
        let reports = Arc::clone(&self.call_reports);
        tokio::spawn(async move {
            while let Ok(Some(report)) = incoming.message().await {
                reports.lock().unwrap().push(report);
            }
        });
        let queries = WatchStream::new(self.queries.subscribe()).map(Ok);
        Ok(Response::new(queries.boxed()))
    }
}

/// Value of a credential. A shared one is requested without a principal.
fn resolved_value(asked: &cpb::ResolveRequest) -> String {
    let shared = format!("Bearer {}-{}", asked.credential, asked.revision);
    let subject = asked.principal.as_ref().and_then(|it| it.subject.as_ref());
    match subject {
        Some(cpb::principal::Subject::User(user)) => {
            format!("{shared} of {user} for {}", asked.server)
        }
        Some(_) | None => shared,
    }
}

#[tonic::async_trait]
impl Credentials for FakeControlPlane {
    async fn resolve(
        &self,
        request: Request<cpb::ResolveRequest>,
    ) -> Result<Response<cpb::ResolveResponse>, Status> {
        self.resolved.fetch_add(1, Ordering::SeqCst);
        let asked = request.into_inner();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if asked.credential == "missing" {
            return Err(Status::not_found("there is no such credential"));
        }
        Ok(Response::new(cpb::ResolveResponse {
            header: "authorization".to_owned(),
            value: resolved_value(&asked).into_bytes(),
            revision: asked.revision,
            expire_time_ms: 0,
            hosts: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        }))
    }

    async fn get_keyring(
        &self,
        _request: Request<cpb::GetKeyringRequest>,
    ) -> Result<Response<cpb::Keyring>, Status> {
        let client_state_keys = vec![cpb::ClientStateKey {
            epoch: 1,
            key: vec![2; 32],
        }];
        Ok(Response::new(cpb::Keyring {
            token_key: vec![1; 32],
            client_state_keys,
            unchanged: false,
        }))
    }
}

/// Fake fleet service that issues certificates from an authority of the test.
pub(crate) struct FakeFleet {
    pub(crate) issuer: Arc<rcgen::Issuer<'static, rcgen::KeyPair>>,
    pub(crate) ca: Vec<u8>,
    pub(crate) secret: String,
    pub(crate) lifetime: Duration,
    /// Time of its clock minus that of the machine, in milliseconds.
    pub(crate) clock_ahead: i64,
    pub(crate) tried: Arc<AtomicUsize>,
    pub(crate) joined: Arc<AtomicUsize>,
    pub(crate) renewed: Arc<AtomicUsize>,
}

impl FakeFleet {
    fn certificate(&self, csr_der: &[u8]) -> pb::Certificate {
        let request = rcgen::CertificateSigningRequestParams::from_der(&csr_der.into()).unwrap();
        let params = rcgen::CertificateParams::new(vec!["proxy".to_owned()]).unwrap();
        let leaf = params.signed_by(&request.public_key, &self.issuer).unwrap();
        let now = clock::system().now().0;
        let now = Timestamp(now.saturating_add_signed(self.clock_ahead));
        pb::Certificate {
            chain_der: vec![leaf.der().to_vec()],
            ca_der: self.ca.clone(),
            not_after_ms: now.after(self.lifetime).0,
            issue_time_ms: now.0,
        }
    }
}

#[tonic::async_trait]
impl Fleet for FakeFleet {
    async fn join(
        &self,
        request: Request<pb::JoinRequest>,
    ) -> Result<Response<pb::Certificate>, Status> {
        let request = request.into_inner();
        self.tried.fetch_add(1, Ordering::SeqCst);
        if request.secret != self.secret {
            return Err(Status::unauthenticated(
                "not a join token of ours, or used up",
            ));
        }
        self.joined.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(self.certificate(&request.csr_der)))
    }

    async fn renew(
        &self,
        request: Request<pb::RenewRequest>,
    ) -> Result<Response<pb::Certificate>, Status> {
        if request.peer_certs().is_none_or(|certs| certs.is_empty()) {
            return Err(Status::unauthenticated(
                "show the certificate to be renewed",
            ));
        }
        self.renewed.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(self.certificate(&request.get_ref().csr_der)))
    }
}

pub(crate) fn machine() -> (ProxyContext, DrainTrigger) {
    let (drain, trigger) = drain::new();
    let machine = ProxyContext {
        clock: clock::system(),
        metrics: Metrics::new(),
        readiness: Readiness::new(),
        drain,
    };
    (machine, trigger)
}

pub(crate) fn options(link: ControlPlaneTransport) -> SyncOptions {
    let reconnect = (Duration::from_millis(5), Duration::from_millis(20));
    let proxy_id = Some("proxy-1".parse().unwrap());
    SyncOptions {
        reconnect_backoff: reconnect,
        proxy_id,
        ..SyncOptions::new(link)
    }
}

/// Same as [`options`], for a proxy that stores its data in this folder.
pub(crate) fn options_in(folder: &Path, link: ControlPlaneTransport) -> SyncOptions {
    SyncOptions {
        data_dir: Some(folder.to_owned()),
        ..options(link)
    }
}

/// Starts a proxy that connects to this control plane.
pub(crate) fn connect(fake: &FakeControlPlane, machine: &ProxyContext) -> SyncHandle {
    let transport = ControlPlaneTransport::Memory(fake.dialer());
    start(options(transport), machine).unwrap()
}

/// Starts a proxy that connects to this control plane, and waits until it serves the configuration.
pub(crate) async fn serve(fake: &FakeControlPlane, machine: &ProxyContext) -> SyncHandle {
    let handle = connect(fake, machine);
    machine.readiness.ready().await;
    handle
}

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(60);

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(HANG_GUARD, waiting).await;
    assert!(waited.is_ok(), "waited in vain");
}
