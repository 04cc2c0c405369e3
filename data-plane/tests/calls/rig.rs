//! A proxy with one legacy and one modern server and a fixed configuration.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::sync::watch;
use toolgate_data_core::{
    AuthnId, ClientStateCipher, TokenHasher, View,
    client_state::StateKey,
    port::{
        BoxedFuture, CredentialRequest, CredentialResolver, HeaderCredential, RevocationList,
        UpstreamCredential,
    },
    refusal::UpstreamFailure,
};
use toolgate_data_plane::{ConfigSource, DataPlane, DataPlaneOptions, KeySet, ProxyContext};
use toolgate_mcp::cdn_loop::CdnId;
use toolgate_model::{
    AllowList, CallTimeouts, CredentialHosts, CredentialScope, Definition, Digest, Era, ObjectName,
    RelayPolicy, ResourceKey, SessionSharing, Slug, Snapshot, SnapshotResource,
    SnapshotResourceKind, TokenSubject, Version,
    snapshot::{
        CredentialRef, DefinitionsResource, ExposedTool, GatewayResource, ServerResource,
        SnapshotEntry, TokenResource,
    },
};
use toolgate_runtime::{DrainTrigger, Metrics, Readiness, SharedClock, clock, drain};

use crate::{
    client::TestClient,
    fault_plan::{FaultPlan, FaultyClock},
    prompts_and_resources,
    server::FakeServer,
};

pub const TOKEN: &str = "archestra_a-good-token";
/// Token of another principal with access to everything.
pub const ANYTHING: &str = "archestra_anothers-token";
pub const NARROW_TOKEN: &str = "archestra_a-token-for-one-tool";
pub const UPSTREAM_SECRET: &str = "Bearer for-the-server-only";

/// Allows everything except roots.
const RELAY: RelayPolicy = RelayPolicy {
    elicitation: true,
    sampling: true,
    roots: false,
};

pub const TOOLS: [&str; 43] = [
    "echo",
    "canary",
    "fail",
    "locked",
    "slow",
    "stream",
    "single",
    "cut",
    "babble",
    "lie",
    "accepted",
    "error",
    "garbage",
    "html",
    "redirect",
    "tool_error",
    "silent",
    "flood",
    "missing",
    "capable",
    "ask",
    "ask_again",
    "ask_apart",
    "ask_back",
    "ask_model",
    "ask_roots",
    "ask_url",
    "ask_stateless",
    "polled",
    "ask_many",
    "ask_outright",
    "task",
    "pester",
    "oversize",
    "ask_visit",
    "ask_flood",
    "logs",
    "marked",
    "visit",
    "visit_stream",
    "visit_always",
    "visit_nowhere",
    "tick",
];

/// Key that the id of the deployment is derived from.
pub const DEPLOYMENT_KEY: [u8; 32] = [1; 32];

/// Running proxy with its servers.
pub struct TestRig {
    pub legacy: FakeServer,
    pub modern: FakeServer,
    pub address: SocketAddr,
    pub metrics: Metrics,
    pub source: FixedSource,
    pub trigger: Option<DrainTrigger>,
    _plane: DataPlane,
}

/// Configuration source that changes only through [`configure`](FixedSource::configure).
#[derive(Clone)]
pub struct FixedSource {
    snapshot: Arc<std::sync::Mutex<Snapshot>>,
    view: Arc<arc_swap::ArcSwap<View>>,
    keys: Arc<FixedKeys>,
    changes: watch::Sender<Version>,
    proxy: Slug,
    /// Makes credential lookups panic.
    pub credentials_panic: Arc<AtomicBool>,
    /// Principals without a credential of their own.
    pub without_credential: Arc<std::sync::Mutex<BTreeSet<String>>>,
    revoked: watch::Sender<Arc<BTreeSet<AuthnId>>>,
    /// Number of proxies that rate limits are divided by.
    pub serving_proxies: Arc<AtomicU32>,
    /// Panics at chosen places of the proxy.
    pub faults: Arc<FaultPlan>,
    /// Port of the server `gone`.
    _unreachable: Arc<tokio::net::TcpSocket>,
    call_log: Arc<toolgate_data_plane::sync::CallLog>,
}

pub struct FixedKeys {
    hasher: TokenHasher,
    cipher: ClientStateCipher,
    cdn_id: CdnId,
}

impl TestRig {
    pub async fn start() -> Self {
        Self::with(|_| {}, CallTimeouts::default()).await
    }

    pub async fn with(change: impl FnOnce(&mut DataPlaneOptions), timeouts: CallTimeouts) -> Self {
        Self::start_with(change, timeouts, Metrics::new(), clock::system()).await
    }

    /// Starts with these metrics.
    pub async fn with_metrics(metrics: Metrics) -> Self {
        let clock = clock::system();
        Self::start_with(|_| {}, CallTimeouts::default(), metrics, clock).await
    }

    /// Starts with a clock that is advanced by hand.
    pub async fn with_clock(clock: SharedClock) -> Self {
        Self::start_with(|_| {}, CallTimeouts::default(), Metrics::new(), clock).await
    }

    /// Starts with changed options and a clock that is advanced by hand.
    pub async fn with_options(
        change: impl FnOnce(&mut DataPlaneOptions),
        clock: SharedClock,
    ) -> Self {
        Self::start_with(change, CallTimeouts::default(), Metrics::new(), clock).await
    }

    /// Starts with a clock and a source of configuration that panic as planned.
    pub async fn with_faults(faults: Arc<FaultPlan>) -> Self {
        let clock = Arc::new(FaultyClock(Arc::clone(&faults)));
        let parts = (Metrics::new(), clock as SharedClock, faults);
        Self::start_from(|_| {}, CallTimeouts::default(), parts).await
    }

    async fn start_with(
        change: impl FnOnce(&mut DataPlaneOptions),
        timeouts: CallTimeouts,
        metrics: Metrics,
        clock: SharedClock,
    ) -> Self {
        let parts = (metrics, clock, Arc::<FaultPlan>::default());
        Self::start_from(change, timeouts, parts).await
    }

    async fn start_from(
        change: impl FnOnce(&mut DataPlaneOptions),
        timeouts: CallTimeouts,
        (metrics, clock, faults): (Metrics, SharedClock, Arc<FaultPlan>),
    ) -> Self {
        let legacy = FakeServer::start(Era::Legacy).await;
        let modern = FakeServer::start(Era::Modern).await;
        let hasher = TokenHasher::new(&[7; 32]).unwrap();
        let unreachable = unreachable_socket();
        let gone = format!("http://{}/mcp", unreachable.local_addr().unwrap());
        let snapshot = snapshot(&hasher, &legacy, &modern, gone, timeouts);
        let (view, refusals) = View::build(&snapshot, None);
        assert!(refusals.is_empty(), "{refusals:?}");
        let encrypt = StateKey {
            epoch: 1,
            secret: vec![9; 32].into(),
        };
        let cipher = ClientStateCipher::new(&[encrypt]).unwrap();
        let source = FixedSource {
            snapshot: Arc::new(std::sync::Mutex::new(snapshot)),
            view: Arc::new(arc_swap::ArcSwap::from_pointee(view)),
            keys: Arc::new(FixedKeys {
                hasher,
                cipher,
                cdn_id: CdnId::derive(&DEPLOYMENT_KEY),
            }),
            changes: watch::Sender::new(Version::default()),
            proxy: slug("proxy-one"),
            credentials_panic: Arc::default(),
            without_credential: Arc::default(),
            revoked: watch::Sender::default(),
            serving_proxies: Arc::new(AtomicU32::new(1)),
            faults,
            _unreachable: Arc::new(unreachable),
            call_log: Arc::default(),
        };
        Self::assemble(source, (legacy, modern), change, (metrics, clock))
    }

    /// Replaces the proxy by another one with the same configuration and keys and no other shared state.
    pub fn replace_proxy(self) -> Self {
        let (mut source, servers) = (self.source, (self.legacy, self.modern));
        source.proxy = slug("proxy-two");
        drop((self.trigger, self._plane));
        Self::assemble(source, servers, |_| {}, (Metrics::new(), clock::system()))
    }

    fn assemble(
        source: FixedSource,
        (legacy, modern): (FakeServer, FakeServer),
        change: impl FnOnce(&mut DataPlaneOptions),
        (metrics, clock): (Metrics, SharedClock),
    ) -> Self {
        let mut options = DataPlaneOptions::new("127.0.0.1:0".parse().unwrap());
        options.egress.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
        change(&mut options);
        let (drain, trigger) = drain::new();
        let machine = ProxyContext {
            clock,
            metrics: metrics.clone(),
            readiness: Readiness::new(),
            drain,
        };
        let plane = DataPlane::start(options, source.clone(), machine).unwrap();
        Self {
            address: plane.address(),
            legacy,
            modern,
            metrics,
            source,
            trigger: Some(trigger),
            _plane: plane,
        }
    }

    pub fn client(&self) -> TestClient {
        TestClient::new(self.address, "everything", TOKEN)
    }

    pub fn client_with(&self, gateway: &str, token: &str) -> TestClient {
        TestClient::new(self.address, gateway, token)
    }

    /// Sets the sharing policy of the legacy server.
    pub fn set_sharing(&self, sharing: SessionSharing) {
        self.edit_server("old", |server| server.sharing = sharing);
    }

    /// Changes the configuration of a server.
    pub fn edit_server(&self, id: &str, change: impl FnOnce(&mut ServerResource)) {
        self.source.configure(|snapshot| {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Server,
                name: name(id),
            };
            let entry = snapshot.entries.get_mut(&key).unwrap();
            let SnapshotResource::Server(mut server) = SnapshotResource::clone(&entry.resource)
            else {
                panic!("no server");
            };
            change(&mut server);
            *entry = SnapshotEntry::new(SnapshotResource::Server(server));
        });
    }

    /// Changes a token.
    pub fn edit_token(&self, id: &str, change: impl FnOnce(&mut TokenResource)) {
        self.source.configure(|snapshot| {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Token,
                name: name(id),
            };
            let entry = snapshot.entries.get_mut(&key).unwrap();
            let SnapshotResource::Token(mut token) = SnapshotResource::clone(&entry.resource)
            else {
                panic!("no token");
            };
            change(&mut token);
            *entry = SnapshotEntry::new(SnapshotResource::Token(token));
        });
    }

    /// Adds a token for everything, with these changes.
    pub fn add_token(
        &self,
        name: ObjectName,
        token: &str,
        change: impl FnOnce(&mut TokenResource),
    ) {
        let hash = self.source.keys.hasher.hash(token);
        let mut added = TokenResource {
            hash,
            subject: TokenSubject::User(slug("dave")),
            gateways: AllowList::All,
            tools: AllowList::All,
            expires: None,
            rate_limits: Vec::new(),
        };
        change(&mut added);
        let key = ResourceKey {
            kind: SnapshotResourceKind::Token,
            name,
        };
        self.source.configure(|snapshot| {
            let entry = SnapshotEntry::new(SnapshotResource::Token(added));
            snapshot.entries.insert(key, entry);
        });
    }

    pub fn server(&self, era: Era) -> &FakeServer {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

/// Socket that is bound and does not listen: connections to it are refused, and no other listener gets its port.
fn unreachable_socket() -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// Upper bound of every wait that only guards against a hang: far above any time that is promised.
pub const HANG_GUARD: Duration = Duration::from_secs(60);

/// Returns `true` in `make drill`, which asserts figures of time.
pub fn is_drill() -> bool {
    std::env::var_os("TOOLGATE_TEST_DRILL").is_some()
}

/// Returns `figure` in `make drill`, which asserts what is promised within a time, and [`HANG_GUARD`] otherwise.
pub fn within(figure: Duration) -> Duration {
    if is_drill() { figure } else { HANG_GUARD }
}

/// Returns `full` if `make million` runs the test at its full size, and `usual` otherwise.
pub fn sized(usual: usize, full: usize) -> usize {
    match std::env::var_os("TOOLGATE_TEST_MILLION") {
        Some(_) => full,
        None => usual,
    }
}

/// Waits until something is so.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let happened = tokio::time::timeout(HANG_GUARD, waiting).await;
    assert!(happened.is_ok(), "never happened: {what}");
}

/// Exposed name of a tool of the server of `era`.
pub fn exposed(era: Era, tool: &str) -> String {
    match era {
        Era::Legacy => format!("old__{tool}"),
        Era::Modern => format!("new__{tool}"),
    }
}

pub fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub fn name(id: &str) -> ObjectName {
    ObjectName::new(slug("default"), slug(id))
}

fn definition(tool: &str) -> Definition {
    let json = json!({
        "name": tool,
        "description": format!("does {tool}"),
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    });
    let json = json.to_string();
    Definition {
        name: tool.to_owned(),
        digest: Digest::of_bytes(json.as_bytes()),
        json: json.into(),
    }
}

fn snapshot(
    hasher: &TokenHasher,
    legacy: &FakeServer,
    modern: &FakeServer,
    gone: String,
    timeouts: CallTimeouts,
) -> Snapshot {
    let mut resources = Vec::new();
    let mut tools = Vec::new();
    for (id, server) in [("old", legacy), ("new", modern)] {
        resources.extend(server_resources(id, server, timeouts));
        tools.extend(TOOLS.map(|tool| ExposedTool {
            exposed: exposed(server.era, tool),
            server: slug(id),
            original: tool.to_owned(),
            digest: definition(tool).digest,
            shape: None,
        }));
    }
    resources.extend(unreachable_server_resources(gone, timeouts));
    tools.push(ExposedTool {
        exposed: "gone__echo".to_owned(),
        server: slug("gone"),
        original: "echo".to_owned(),
        digest: definition("echo").digest,
        shape: None,
    });
    for gateway in ["everything", "other"] {
        resources.push((
            SnapshotResourceKind::Gateway,
            gateway,
            gateway_resource(tools.clone()),
        ));
    }
    let narrow = AllowList::of(vec!["old__echo".to_owned()]);
    resources.push((
        SnapshotResourceKind::Token,
        "wide",
        token_resource(hasher, TOKEN, "alice", AllowList::All),
    ));
    resources.push((
        SnapshotResourceKind::Token,
        "narrow",
        token_resource(hasher, NARROW_TOKEN, "bob", narrow),
    ));
    resources.push((
        SnapshotResourceKind::Token,
        "anything",
        token_resource(hasher, ANYTHING, "carol", AllowList::All),
    ));
    let version = Version {
        epoch: 1,
        revision: 1,
    };
    let mut snapshot = Snapshot {
        version,
        ..Snapshot::default()
    };
    for (kind, id, resource) in resources {
        let name = name(id);
        let key = ResourceKey { kind, name };
        snapshot.entries.insert(key, SnapshotEntry::new(resource));
    }
    snapshot
}

type NamedResource<'a> = (SnapshotResourceKind, &'a str, SnapshotResource);

fn server_resources<'a>(
    id: &'a str,
    server: &FakeServer,
    timeouts: CallTimeouts,
) -> [NamedResource<'a>; 2] {
    let version = match server.era {
        Era::Legacy => "2025-11-25",
        Era::Modern => "2026-07-28",
    };
    let reached = SnapshotResource::Server(ServerResource {
        endpoints: server.url().parse().unwrap(),
        credential: Some(CredentialRef {
            id: slug("secret"),
            revision: 1,
            scope: Default::default(),
        }),
        era: Some(server.era),
        protocol_version: version.to_owned(),
        legacy_version: String::new(),
        timeouts,
        relay: RELAY,
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    });
    let offered = SnapshotResource::Catalogue(DefinitionsResource {
        tools: TOOLS.map(definition).to_vec(),
        instructions: format!("talk to {id}"),
        capabilities: json!({"tools": {}, "logging": {}, "completions": {}}).to_string(),
        ..prompts_and_resources::offered_definitions()
    });
    [
        (SnapshotResourceKind::Server, id, reached),
        (SnapshotResourceKind::Catalogue, id, offered),
    ]
}

fn unreachable_server_resources(
    url: String,
    timeouts: CallTimeouts,
) -> [NamedResource<'static>; 2] {
    let reached = SnapshotResource::Server(ServerResource {
        endpoints: url.parse().unwrap(),
        credential: None,
        era: Some(Era::Modern),
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts,
        relay: RELAY,
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    });
    let offered = SnapshotResource::Catalogue(DefinitionsResource {
        tools: vec![definition("echo")],
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        ..prompts_and_resources::offered_definitions()
    });
    [
        (SnapshotResourceKind::Server, "gone", reached),
        (SnapshotResourceKind::Catalogue, "gone", offered),
    ]
}

fn gateway_resource(tools: Vec<ExposedTool>) -> SnapshotResource {
    SnapshotResource::Gateway(GatewayResource {
        display_name: "Everything".to_owned(),
        instructions: "be kind".to_owned(),
        tools,
        servers: vec![slug("old"), slug("new"), slug("gone")],
        must_understand: Vec::new(),
        ..prompts_and_resources::exposing_gateway()
    })
}

fn token_resource(
    hasher: &TokenHasher,
    token: &str,
    user: &str,
    tools: AllowList<String>,
) -> SnapshotResource {
    SnapshotResource::Token(TokenResource {
        hash: hasher.hash(token),
        subject: TokenSubject::User(slug(user)),
        gateways: AllowList::All,
        tools,
        expires: None,
        rate_limits: Vec::new(),
    })
}

impl FixedSource {
    /// Changes the configuration as a push does.
    pub fn configure(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.snapshot.lock().unwrap();
        change(&mut snapshot);
        snapshot.version.revision += 1;
        let (view, _) = View::build(&snapshot, Some(&self.view.load()));
        self.view.store(Arc::new(view));
        self.changes.send_replace(snapshot.version);
    }

    /// Lets a token of the configuration expire after this time from now.
    pub fn expire_token(&self, id: &str, after: Duration) {
        self.configure(|snapshot| {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Token,
                name: name(id),
            };
            let entry = snapshot.entries.get_mut(&key).unwrap();
            let SnapshotResource::Token(mut token) = SnapshotResource::clone(&entry.resource)
            else {
                panic!("no token");
            };
            token.expires = Some(clock::system().now().after(after));
            *entry = SnapshotEntry::new(SnapshotResource::Token(token));
        });
    }

    pub fn revoke(&self, token: &str) {
        let hash = self.keys.hasher.hash(token);
        self.revoked
            .send_replace(Arc::new([AuthnId::from(hash)].into()));
    }
}

impl ConfigSource for FixedSource {
    type Keys = FixedKeys;

    fn view(&self) -> Arc<View> {
        self.faults.visit();
        self.view.load_full()
    }

    fn keys(&self) -> Option<Arc<FixedKeys>> {
        self.faults.visit();
        Some(Arc::clone(&self.keys))
    }

    fn changes(&self) -> watch::Receiver<Version> {
        self.faults.visit();
        self.changes.subscribe()
    }

    fn revocations(&self) -> watch::Receiver<Arc<BTreeSet<AuthnId>>> {
        self.faults.visit();
        self.revoked.subscribe()
    }

    fn serving_proxies(&self) -> std::num::NonZeroU32 {
        self.faults.visit();
        let proxies = self.serving_proxies.load(Ordering::Relaxed);
        std::num::NonZeroU32::new(proxies).unwrap()
    }

    fn membership(
        &self,
    ) -> tokio::sync::watch::Receiver<Option<toolgate_data_plane::sync::FleetMembership>> {
        tokio::sync::watch::channel(None).1
    }

    fn region(&self) -> &str {
        self.faults.visit();
        ""
    }

    fn report_health(&self, _servers: Vec<toolgate_model::ServerHealth>) {}

    fn call_log(&self) -> &Arc<toolgate_data_plane::sync::CallLog> {
        &self.call_log
    }

    fn proxy_id(&self) -> &Slug {
        self.faults.visit();
        &self.proxy
    }
}

impl KeySet for FixedKeys {
    fn hasher(&self) -> &TokenHasher {
        &self.hasher
    }

    fn cipher(&self) -> &ClientStateCipher {
        &self.cipher
    }

    fn cdn_id(&self) -> &CdnId {
        &self.cdn_id
    }
}

impl RevocationList for FixedSource {
    fn is_revoked(&self, hash: &AuthnId) -> bool {
        self.faults.visit();
        self.revoked.borrow().contains(hash)
    }
}

impl CredentialResolver for FixedSource {
    fn held(&self, _request: CredentialRequest<'_>) -> Option<Arc<UpstreamCredential>> {
        self.faults.visit();
        None
    }

    fn resolve(
        &self,
        request: CredentialRequest<'_>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamCredential>, UpstreamFailure>> {
        self.faults.visit();
        assert!(
            !self.credentials_panic.load(Ordering::Relaxed),
            "a fault of ours"
        );
        let value = match request.reference.scope {
            CredentialScope::Shared => UPSTREAM_SECRET.to_owned(),
            CredentialScope::PerPrincipal => {
                let principal = request.principal.to_string();
                if self.without_credential.lock().unwrap().contains(&principal) {
                    return Box::pin(std::future::ready(Err(UpstreamFailure::Credential)));
                }
                match request.reference.revision {
                    1 => format!("Bearer of {principal}"),
                    revision => format!("Bearer of {principal} at {revision}"),
                }
            }
        };
        let credential = UpstreamCredential::Header(HeaderCredential {
            name: "authorization".into(),
            value: value.into_bytes().into(),
            hosts: CredentialHosts::default(),
        });
        Box::pin(async move { Ok(Arc::new(credential)) })
    }
}
