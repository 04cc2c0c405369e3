//! A registry, a client and calls to a fake server, for tests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use toolgate_client::fake_server::{self, RecordedRequest, ScriptedResponse};
use toolgate_data_core::{
    AuthnId, ClientStateCipher, Plan, PlanInput, ServerView, View,
    client_state::StateKey,
    plan::{EndpointRequest, PostedMessage, SessionLookup, plan},
    port::{
        BoxedFuture, CredentialRequest, CredentialResolver, UpstreamCredential, UpstreamSessionKey,
        UpstreamSessionProvider,
    },
    refusal::UpstreamFailure,
    session::{
        LogLevel,
        session_id::{ClientCapabilities, SessionClaims},
    },
};
use toolgate_egress::{Egress, EgressPolicy};
use toolgate_mcp::{FrameLimits, envelope, era, headers};
use toolgate_model::{
    AllowList, CallTimeouts, Definition, Digest, EndpointList, Era, MaxAnswer, ObjectName,
    RelayPolicy, ResourceKey, SessionSharing, Slug, Snapshot, SnapshotResource,
    SnapshotResourceKind, Timestamp, TokenHash, TokenSubject,
    snapshot::{
        DefinitionsResource, ExposedTool, GatewayResource, ServerResource, SnapshotEntry,
        TokenResource,
    },
};
use toolgate_runtime::{Drain, ManualClock, SharedClock, budget::BudgetOwner, drain};
use zeroize::Zeroizing;

/// Id of the deployment of a test.
pub(crate) const CDN_ID: &str = "toolgate-test";

/// Maximum number of calls at the server of a test, the number from which it is crowded, and the share of one principal.
pub(crate) const CALLS_PER_SERVER: usize = 1024;
pub(crate) const CROWDED: usize = 512;
pub(crate) const CROWDED_SHARE: usize = 256;

use crate::{
    CallContext, ConfiguredEndpoints, UpstreamClient, UpstreamOptions, UpstreamRegistry,
    session::{HandshakeResult, UpstreamSessionHandle},
};

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

/// No server needs a credential.
struct NoCredentials;

impl CredentialResolver for NoCredentials {
    fn held(&self, _request: CredentialRequest<'_>) -> Option<Arc<UpstreamCredential>> {
        None
    }

    fn resolve(
        &self,
        _request: CredentialRequest<'_>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamCredential>, UpstreamFailure>> {
        Box::pin(async { Err(UpstreamFailure::Credential) })
    }
}

/// Counts the sessions that were opened and replaced.
#[derive(Default)]
pub(crate) struct FakeSessions {
    established: Mutex<Option<Arc<UpstreamSessionHandle>>>,
    pub(crate) opened: AtomicUsize,
}

impl FakeSessions {
    fn session(&self) -> Arc<UpstreamSessionHandle> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let opened = HandshakeResult {
            session_id: Some(format!("session-{number}").into()),
            version: "2025-11-25".into(),
            capabilities: "{}".into(),
            http_sse: None,
        };
        let session = Arc::new(UpstreamSessionHandle::new(opened, Timestamp(0)));
        *self.established.lock().unwrap() = Some(Arc::clone(&session));
        session
    }
}

impl UpstreamSessionProvider<UpstreamSessionHandle> for FakeSessions {
    fn established(&self, _key: &UpstreamSessionKey) -> Option<Arc<UpstreamSessionHandle>> {
        self.established.lock().unwrap().clone()
    }

    fn open(
        &self,
        _key: &UpstreamSessionKey,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamSessionHandle>, UpstreamFailure>> {
        Box::pin(async { Ok(self.session()) })
    }

    fn reopen(
        &self,
        _key: &UpstreamSessionKey,
        _lost: &Arc<UpstreamSessionHandle>,
    ) -> BoxedFuture<'_, Result<Arc<UpstreamSessionHandle>, UpstreamFailure>> {
        Box::pin(async { Ok(self.session()) })
    }
}

/// A registry that may reach loopback. The clock is set by hand if one is given.
pub(crate) fn registry(clock: Option<&Arc<ManualClock>>) -> Arc<UpstreamRegistry> {
    let clock: SharedClock = match clock {
        Some(clock) => Arc::clone(clock) as SharedClock,
        None => toolgate_runtime::clock::system(),
    };
    registry_with(clock, |_server| true)
}

/// A registry whose current view has the servers that `is_current` accepts.
pub(crate) fn registry_of(
    is_current: impl Fn(&ServerView) -> bool + Send + Sync + 'static,
) -> Arc<UpstreamRegistry> {
    registry_with(toolgate_runtime::clock::system(), is_current)
}

/// A registry with this clock, whose current view has the servers that `is_current` accepts.
pub(crate) fn registry_with(
    clock: SharedClock,
    is_current: impl Fn(&ServerView) -> bool + Send + Sync + 'static,
) -> Arc<UpstreamRegistry> {
    let (drain, trigger) = drain::new();
    // Never drained: what runs in the background ends with the test.
    std::mem::forget(trigger);
    with_drain(clock, drain, is_current)
}

fn with_drain(
    clock: SharedClock,
    drain: Drain,
    is_current: impl Fn(&ServerView) -> bool + Send + Sync + 'static,
) -> Arc<UpstreamRegistry> {
    let policy = EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    Arc::new(UpstreamRegistry::new(UpstreamOptions {
        egress: Egress::new(policy).unwrap(),
        credentials: Arc::new(NoCredentials),
        endpoints: Arc::new(ConfiguredEndpoints),
        is_current: Box::new(is_current),
        cdn_id: Box::new(|| Some(HeaderValue::from_static(CDN_ID))),
        region: String::new(),
        clock,
        drain,
        answers: toolgate_runtime::MemoryBudget::new(1024 * 1024),
        calls_per_server: CALLS_PER_SERVER,
    }))
}

pub(crate) fn server(id: &str, revision: u8) -> Arc<ServerView> {
    Arc::new(ServerView {
        legacy: None,
        name: ObjectName::new(slug("acme"), slug(id)),
        endpoints: "http://127.0.0.1:1/".parse().unwrap(),
        credential: None,
        era: None,
        protocol_version: None,
        relay: RelayPolicy::default(),
        sharing: SessionSharing::default(),
        max_answer: MaxAnswer::default(),
        timeouts: CallTimeouts::default(),
        digest: Digest([revision; 32]),
    })
}

fn view(endpoints: EndpointList, era: Era) -> View {
    let mut snapshot = Snapshot::default();
    let mut insert = |kind, id: &str, resource| {
        let name = ObjectName::new(slug("acme"), slug(id));
        let key = ResourceKey { kind, name };
        snapshot.entries.insert(key, SnapshotEntry::new(resource));
    };
    let server = ServerResource {
        endpoints,
        credential: None,
        era: Some(era),
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts: CallTimeouts {
            first_byte: Duration::from_secs(2),
            ..CallTimeouts::default()
        },
        relay: RelayPolicy {
            elicitation: true,
            sampling: false,
            roots: false,
        },
        sharing: SessionSharing::default(),
        max_answer: MaxAnswer::default(),
    };
    insert(
        SnapshotResourceKind::Server,
        "files",
        SnapshotResource::Server(server),
    );
    let json = r#"{"name":"read","inputSchema":{"type":"object"}}"#;
    let digest = Digest::of_bytes(json.as_bytes());
    let catalogue = DefinitionsResource {
        tools: vec![Definition {
            name: "read".to_owned(),
            digest,
            json: json.into(),
        }],
        capabilities: r#"{"tools":{}}"#.to_owned(),
        ..DefinitionsResource::default()
    };
    insert(
        SnapshotResourceKind::Catalogue,
        "files",
        SnapshotResource::Catalogue(catalogue),
    );
    let gateway = GatewayResource {
        display_name: "Main".to_owned(),
        tools: vec![ExposedTool {
            exposed: "files__read".to_owned(),
            server: slug("files"),
            original: "read".to_owned(),
            digest,
            shape: None,
        }],
        servers: vec![slug("files")],
        timeouts: BTreeMap::new(),
        ..GatewayResource::default()
    };
    insert(
        SnapshotResourceKind::Gateway,
        "main",
        SnapshotResource::Gateway(gateway),
    );
    let token = TokenResource {
        hash: TokenHash([7; 32]),
        subject: TokenSubject::User(slug("ada")),
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        rate_limits: Vec::new(),
    };
    insert(
        SnapshotResourceKind::Token,
        "ada",
        SnapshotResource::Token(token),
    );
    View::build(&snapshot, None).0
}

/// Builds the context of a legacy client's call to the server at `url`. The client supports elicitation if `asks`.
pub(crate) fn context(url: &str, era: Era, asks: bool) -> CallContext {
    context_at(url.parse().unwrap(), era, asks)
}

/// Builds the context of a legacy client's call to the server at these endpoints.
pub(crate) fn context_at(endpoints: EndpointList, era: Era, asks: bool) -> CallContext {
    let view = view(endpoints, era);
    let body = r#"{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{"name":"files__read","arguments":{}}}"#;
    let envelope = envelope::parse(body.as_bytes(), &FrameLimits::REQUEST).unwrap();
    let capabilities = match asks {
        true => ClientCapabilities::ALL,
        false => ClientCapabilities::default(),
    };
    let session = SessionClaims {
        version: "2025-11-25",
        capabilities,
        issued: Timestamp(1_000),
        random: [7; 16],
        owner: toolgate_data_core::OwningProxy::new(slug("proxy-1"), None),
        opener: Default::default(),
    };
    let standard = headers::StandardHeaders {
        version: headers::ReceivedHeader::Once(b"2025-11-25"),
        ..headers::StandardHeaders::default()
    };
    let key = StateKey {
        epoch: 1,
        secret: Zeroizing::new(vec![1; 32]),
    };
    let caller = view.caller(&AuthnId::from(TokenHash([7; 32]))).unwrap();
    let planned = plan(&PlanInput {
        gateway: view.gateway("main").unwrap(),
        caller,
        request: EndpointRequest::Post(PostedMessage {
            era: &era::classify(standard.version, true, &envelope),
            envelope: &envelope,
            headers: standard,
            params: &[],
        }),
        trace: None,
        session: SessionLookup::Valid(&session),
        cipher: &ClientStateCipher::new(&[key]).unwrap(),
        now: Timestamp(1_000),
    });
    let Plan::Call(plan) = planned else {
        panic!("{planned:?}");
    };
    CallContext {
        plan,
        body: Bytes::from_static(body.as_bytes()),
        principal: Arc::clone(caller.principal()),
        holder: BudgetOwner::of(&"ada"),
        authn: caller.authn().id,
        expires: None,
        session: Some(Arc::new(session)),
        log_level: Some(LogLevel::Info),
        log_requested: false,
        cdn_loop: None,
        trace: None,
    }
}

/// A fake server, what it was sent, and a client that calls it.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<RecordedRequest>>>,
    pub(crate) registry: Arc<UpstreamRegistry>,
    pub(crate) sessions: Arc<FakeSessions>,
    pub(crate) client: UpstreamClient,
}

impl FakeServer {
    pub(crate) async fn start(
        script: impl Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
    ) -> Self {
        let (drain, trigger) = drain::new();
        std::mem::forget(trigger);
        let seen: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let log = Arc::clone(&seen);
        let scripted = move |request: RecordedRequest| {
            let scripted = script(&request);
            log.lock().unwrap().push(request);
            scripted
        };
        let url = fake_server::start(&drain, scripted).await.unwrap();
        let registry = with_drain(toolgate_runtime::clock::system(), drain, |_server| true);
        let sessions: Arc<FakeSessions> = Arc::default();
        let client = UpstreamClient::new(
            Arc::clone(&registry),
            Arc::clone(&sessions) as Arc<dyn UpstreamSessionProvider<UpstreamSessionHandle>>,
        );
        Self {
            url,
            seen,
            registry,
            sessions,
            client,
        }
    }

    pub(crate) fn context(&self, era: Era) -> CallContext {
        context(&self.url, era, false)
    }

    /// Returns the number of messages of this method that the server got; of responses if it is empty.
    pub(crate) fn count(&self, method: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let posts = seen.iter().filter(|seen| seen.method == http::Method::POST);
        posts.filter(|seen| seen.rpc_method() == method).count()
    }

    /// Waits until the server was sent so many.
    pub(crate) async fn until(&self, method: &str, count: usize) {
        for _ in 0..200 {
            if self.count(method) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{method} was sent {} times, not {count}",
            self.count(method)
        );
    }
}

/// Waits long enough for a message to arrive that must not be sent.
pub(crate) async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
