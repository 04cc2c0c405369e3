//! In-memory control plane, and calls to a router without a socket, for the tests of this crate.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use prost::Message;
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Status};
use toolgate_control_core::{
    Change, Command, CommandAuthor, CommandContext, CompileOutput, ObjectEvent, ObjectKey,
    OperatorObject, Rejection, StoreState, compile, decide,
    port::{
        BoxFuture, CertificateAuthority, CommandWriter, CommitOutcome, CursorSigner,
        EncryptionContext, IssueError, IssuedCertificate, MintedSecret, PlaintextSecret,
        ProbeError, PublicationEnded, PublishedState, SealError, SecretPurpose, SecretSealer,
        ServerProber, StateReader, StateWatcher, StoreError, SubmitError, TokenIssuer,
    },
};
use toolgate_model::{
    AdminRole, AllowList, Digest, ObjectMeta, ObjectName, Organization, SealedBlob,
    ServerDefinitions, Slug, Timestamp, Token, TokenHash, TokenSubject,
};
use toolgate_runtime::{Clock as _, ManualClock};
use toolgate_wire::keys::{ClientStateKey, ProxyKeyring};
use tower::ServiceExt as _;

use crate::control_api::KeyringReader;

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(60);

/// Time at which the tests begin.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

/// In-memory control plane. Every commit is published before it returns.
pub(crate) struct MemoryControlApi {
    state: Mutex<StoreState>,
    published: watch::Sender<Arc<PublishedState>>,
    pub(crate) clock: Arc<ManualClock>,
    minted: AtomicU64,
    /// Recording the proxy with this id panics.
    pub(crate) panic_on: Option<Slug>,
    /// Proxies by client certificate.
    pub(crate) peers: Mutex<BTreeMap<Vec<u8>, Slug>>,
    /// Commands acknowledged by another control plane. This one sees them when it catches up.
    pub(crate) unseen: Mutex<Vec<Command>>,
    /// Catching up fails.
    pub(crate) store_unavailable: AtomicBool,
    /// Catching up does not end.
    pub(crate) store_stuck: AtomicBool,
    /// Number of times that the state was to catch up.
    pub(crate) catch_ups: AtomicUsize,
    /// Proxy of the same process.
    pub(crate) local_proxy: Option<Slug>,
}

impl MemoryControlApi {
    /// Creates a control plane with one organization, `acme`, at its first version.
    pub(crate) fn new() -> Self {
        let control_api = Self {
            state: Mutex::default(),
            published: watch::Sender::new(Arc::default()),
            clock: ManualClock::new(START),
            minted: AtomicU64::new(0),
            panic_on: None,
            peers: Mutex::default(),
            unseen: Mutex::default(),
            store_unavailable: AtomicBool::new(false),
            store_stuck: AtomicBool::new(false),
            catch_ups: AtomicUsize::new(0),
            local_proxy: None,
        };
        control_api.command(Command::BumpEpoch).unwrap();
        control_api.organization("acme");
        control_api
    }

    pub(crate) fn organization(&self, id: &str) {
        let organization = Organization {
            id: id.parse().unwrap(),
            meta: ObjectMeta::default(),
            rate_limits: Vec::new(),
        };
        let create = Command::Create(OperatorObject::Organization(organization));
        self.command(create).unwrap();
    }

    /// Creates a token of `org` whose secret is `secret`.
    pub(crate) fn token(&self, org: &str, secret: &str, role: AdminRole, system: bool) {
        self.token_until(org, secret, role, system, None);
    }

    pub(crate) fn token_until(
        &self,
        org: &str,
        secret: &str,
        role: AdminRole,
        system: bool,
        expires: Option<Timestamp>,
    ) {
        let token = Token {
            name: ObjectName::new(org.parse().unwrap(), secret.parse().unwrap()),
            meta: ObjectMeta::default(),
            gateway_uids: std::collections::BTreeMap::new(),
            scope: TokenSubject::Organization,
            gateways: AllowList::All,
            tools: AllowList::All,
            expires,
            role,
            hash: self.hash(SecretPurpose::Bearer, secret.as_bytes()),
            revoked: None,
            hint: String::new(),
            rate_limits: Vec::new(),
            system,
        };
        self.command(Command::Create(OperatorObject::Token(token)))
            .unwrap();
    }

    pub(crate) fn command(&self, command: Command) -> Result<CommitOutcome, Rejection> {
        let context = CommandContext {
            now: self.now(),
            author: CommandAuthor::SYSTEM,
            request: None,
        };
        self.commit(&command, &context)
    }

    /// Publishes a state that differs from the stored one.
    pub(crate) fn publish(&self, published: PublishedState) {
        self.published.send_replace(Arc::new(published));
    }

    fn commit(
        &self,
        command: &Command,
        context: &CommandContext,
    ) -> Result<CommitOutcome, Rejection> {
        let mut state = self.state.lock().unwrap();
        let change = decide(&state, command, context)?;
        if change.is_empty() {
            let revision = state.revision();
            return Ok(CommitOutcome { revision, change });
        }
        let revision = state.revision() + 1;
        state.apply(events(&change, revision), revision);
        let compiled: CompileOutput = compile(&state);
        let published = PublishedState {
            state: Arc::new(state.clone()),
            compiled: Arc::new(compiled),
            refusal: None,
        };
        self.published.send_replace(Arc::new(published));
        Ok(CommitOutcome { revision, change })
    }
}

fn events(change: &Change, revision: u64) -> Vec<ObjectEvent> {
    let puts = change.puts.iter().map(|(key, object)| ObjectEvent::Put {
        key: key.to_string(),
        modified: revision,
        object: Ok(object.clone()),
    });
    let deletes = change.deletes.iter().map(|key| ObjectEvent::Delete {
        key: key.to_string(),
        revision,
    });
    puts.chain(deletes).collect()
}

/// Receiver of the published state.
struct PublicationReceiver(watch::Receiver<Arc<PublishedState>>);

impl StateWatcher for PublicationReceiver {
    fn latest(&mut self) -> Arc<PublishedState> {
        Arc::clone(&self.0.borrow_and_update())
    }

    fn changed(&mut self) -> BoxFuture<'_, Result<(), PublicationEnded>> {
        Box::pin(async { self.0.changed().await.map_err(|_closed| PublicationEnded) })
    }
}

impl StateReader for MemoryControlApi {
    fn published(&self) -> Arc<PublishedState> {
        Arc::clone(&self.published.borrow())
    }

    fn watch_state(&self) -> Box<dyn StateWatcher> {
        Box::new(PublicationReceiver(self.published.subscribe()))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn catch_up(&self, _records: Vec<ObjectKey>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.catch_ups.fetch_add(1, Ordering::Relaxed);
        if self.store_stuck.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        if self.store_unavailable.load(Ordering::Relaxed) {
            let error = StoreError::Unavailable("no quorum".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        let unseen = std::mem::take(&mut *self.unseen.lock().unwrap());
        for command in unseen {
            self.command(command).unwrap();
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn local_proxy(&self) -> Option<&Slug> {
        self.local_proxy.as_ref()
    }
}

impl CommandWriter for MemoryControlApi {
    fn submit(
        &self,
        command: Command,
        context: CommandContext,
    ) -> BoxFuture<'_, Result<CommitOutcome, SubmitError>> {
        Box::pin(async move {
            if let Command::RecordProxy(proxy) = &command {
                assert_ne!(Some(&proxy.id), self.panic_on.as_ref(), "the bomb goes off");
            }
            self.commit(&command, &context).map_err(SubmitError::from)
        })
    }
}

impl TokenIssuer for MemoryControlApi {
    fn hash(&self, purpose: SecretPurpose, secret: &[u8]) -> TokenHash {
        TokenHash(Digest::of_bytes(&[format!("{purpose:?}").as_bytes(), secret].concat()).0)
    }

    fn mint_secret(&self, purpose: SecretPurpose) -> MintedSecret {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        let secret = format!("minted-{number}");
        MintedSecret {
            hash: self.hash(purpose, secret.as_bytes()),
            secret: Box::new(secret),
            hint: "minted".into(),
        }
    }
}

impl CursorSigner for MemoryControlApi {
    fn sign(&self, value: &[u8]) -> Digest {
        Digest::of_bytes(&[b"cursor", value].concat())
    }
}

impl KeyringReader for MemoryControlApi {
    fn keyring(&self) -> ProxyKeyring {
        let key = ClientStateKey {
            epoch: 1,
            key: [2; 32].into(),
        };
        ProxyKeyring {
            token_key: [1; 32].into(),
            client_state_keys: vec![key],
        }
    }
}

impl CertificateAuthority for MemoryControlApi {
    fn issue(&self, _proxy: &Slug, csr_der: &[u8]) -> Result<IssuedCertificate, IssueError> {
        if csr_der == b"bad" {
            return Err(IssueError::InvalidRequest("not a request".into()));
        }
        Ok(IssuedCertificate {
            chain: vec![csr_der.to_vec()],
            authority: Vec::new(),
            not_after: self.now(),
        })
    }

    fn proxy_of_certificate(&self, certificate_der: &[u8]) -> Option<Slug> {
        self.peers.lock().unwrap().get(certificate_der).cloned()
    }

    fn authority_pem(&self) -> String {
        "PEM".into()
    }
}

/// Not encryption: stores the encryption context and reverses the bytes.
impl SecretSealer for MemoryControlApi {
    fn seal_secret(
        &self,
        context: &EncryptionContext,
        plain: &[u8],
    ) -> Result<SealedBlob, SealError> {
        Ok(SealedBlob {
            key_id: "memory".into(),
            wrapped_key: format!("{context:?}").into_bytes(),
            ciphertext: plain.iter().rev().copied().collect(),
        })
    }

    fn open_secret(
        &self,
        context: &EncryptionContext,
        sealed: &SealedBlob,
    ) -> Result<PlaintextSecret, SealError> {
        if sealed.wrapped_key != format!("{context:?}").into_bytes() {
            return Err(SealError::Mismatch);
        }
        let plain: Vec<u8> = sealed.ciphertext.iter().rev().copied().collect();
        Ok(Box::new(plain))
    }
}

impl ServerProber for MemoryControlApi {
    fn probe_now(
        &self,
        server: ObjectName,
    ) -> BoxFuture<'_, Result<ServerDefinitions, ProbeError>> {
        Box::pin(async move { Ok(definitions(server)) })
    }
}

/// Returns empty server definitions.
pub(crate) fn definitions(server: ObjectName) -> ServerDefinitions {
    ServerDefinitions {
        server,
        era: None,
        protocol_version: String::new(),
        legacy_version: String::new(),
        server_name: String::new(),
        server_version: String::new(),
        instructions: String::new(),
        capabilities: String::new(),
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: START,
        problem: None,
        problem_since: None,
        omissions: Vec::new(),
        parts: Vec::new(),
    }
}

/// Result of a call.
pub(crate) struct CallResponse {
    pub(crate) code: Code,
    pub(crate) status: Status,
    /// All received bytes: headers, messages, trailers.
    pub(crate) raw: Vec<u8>,
    /// First message.
    pub(crate) message: Vec<u8>,
}

impl CallResponse {
    /// Decodes the message of a successful call.
    pub(crate) fn read<M: Message + Default>(&self) -> M {
        assert_eq!(self.code, Code::Ok, "{:?}", self.status);
        M::decode(self.message.as_slice()).unwrap()
    }
}

/// Builds a gRPC request.
pub(crate) fn request(path: &str, token: Option<&str>, message: &[u8]) -> http::Request<Body> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let mut builder = http::Request::post(path)
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    builder.body(Body::from(body)).unwrap()
}

/// Sends a request to a router and reads the response to its end; of an endless response, reads until a pause.
pub(crate) async fn send(router: &Router, request: http::Request<Body>) -> CallResponse {
    let response = router.clone().oneshot(request).await.unwrap();
    let mut raw = format!("{:?}", response.headers()).into_bytes();
    let mut status = Status::from_header_map(response.headers());
    let mut body = response.into_body();
    let mut framed = Vec::new();
    while let Ok(Some(frame)) = timeout(Duration::from_millis(300), body.frame()).await {
        let frame = frame.unwrap();
        if let Some(bytes) = frame.data_ref() {
            framed.extend_from_slice(bytes);
        }
        if let Some(trailers) = frame.trailers_ref() {
            raw.extend(format!("{trailers:?}").into_bytes());
            status = Status::from_header_map(trailers);
        }
    }
    raw.extend_from_slice(&framed);
    let status = status.unwrap_or_else(|| Status::ok(""));
    let message = match framed.split_first_chunk::<5>() {
        Some((head, rest)) => {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            rest.get(..length).unwrap_or_default().to_vec()
        }
        None => Vec::new(),
    };
    CallResponse {
        code: status.code(),
        status,
        raw,
        message,
    }
}

/// Calls a method of the admin API.
pub(crate) async fn call(
    router: &Router,
    method: &str,
    token: Option<&str>,
    message: &impl Message,
) -> CallResponse {
    let path = format!("/toolgate.admin.v1.{method}");
    send(router, request(&path, token, &message.encode_to_vec())).await
}
