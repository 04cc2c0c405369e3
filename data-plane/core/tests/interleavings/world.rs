//! The world: clients, servers and proxies, and what each holds. The registries are plain maps here; the machines make
//! all decisions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use toolgate_data_core::{
    ClientStateCipher, OwningProxy,
    call::{
        CallMachine, CallTime, ElicitationId,
        suspended::{SuspensionHandle, SuspensionMachine},
    },
    client_state::{StateContext, StateKey},
    plan::CallPlan,
    session::upstream_session::UpstreamSessionMachine,
    session::{
        ClientSessionMachine, StreamId,
        session_id::{self, ClientCapabilities, RANDOM_LEN, SessionClaims},
    },
};
use toolgate_model::{Principal, PrincipalSubject, Slug, Timestamp};
use zeroize::Zeroizing;

use crate::{linking::FakeSession, plans::PRINCIPALS};

/// Clients: two principals, each with a legacy and a modern one.
pub const CLIENTS: usize = 4;

/// Proxies.
pub const PROXIES: usize = 2;

/// Number of a call on a proxy.
pub type CallId = u64;

pub type SessionName = [u8; RANDOM_LEN];

pub struct World {
    pub now: Timestamp,
    pub serial: u64,
    pub cipher: ClientStateCipher,
    pub gateway: Slug,
    pub principals: Vec<Principal>,
    /// Session ids of the clients that have one.
    pub sessions: [Option<String>; CLIENTS],
    /// Requests by number.
    pub requests: BTreeMap<u64, UpstreamRequest>,
    pub calls: BTreeMap<CallId, Call>,
    pub proxies: Vec<Proxy>,
    pub server: LegacyServer,
    /// Number of times that a piece of work was done.
    pub ran: BTreeMap<u64, usize>,
    /// Number of times that a client sent the call of a piece of work.
    pub granted: BTreeMap<u64, usize>,
    /// Every elicitation that a client ever got.
    pub asked: Vec<(ElicitationId, usize)>,
    /// Every `requestState` that a client ever got.
    pub states: Vec<ClientState>,
    pub heard: BTreeSet<Vec<u8>>,
    /// `true` if the next interrupted stream can be resumed.
    pub resumable: bool,
    /// Kinds of effects and situations that were reached.
    pub seen: BTreeSet<&'static str>,
}

/// A `requestState`, as its client holds it.
#[derive(Clone)]
pub struct ClientState {
    pub text: String,
    pub client: usize,
    pub work: u64,
    pub legacy: bool,
    /// Keys of `inputRequests`.
    pub keys: Vec<String>,
}

pub struct UpstreamRequest {
    pub client: usize,
    pub work: u64,
    pub ended: bool,
}

/// A call under way on a proxy.
pub struct Call {
    pub client: usize,
    pub work: u64,
    /// Request that its end answers; `None` while it is suspended or its client is gone.
    pub request: Option<u64>,
    pub proxy: usize,
    /// `true` if its server is legacy.
    pub legacy: bool,
    pub machine: CallMachine,
    pub plan: Arc<CallPlan>,
    pub body: Bytes,
    pub began: Timestamp,
    pub link: Option<Arc<FakeSession>>,
    /// Waits for a link.
    pub waits: bool,
    /// On its way to the server.
    pub sent: bool,
    /// The server streams.
    pub running: bool,
    /// Id that it was sent with.
    pub upstream_id: u64,
    /// The first request was sent.
    pub started: bool,
    /// The last attempt provably did not run.
    pub did_not_run: bool,
    pub retried: bool,
    /// A modern server requested these keys, and waits for the call to come again.
    pub round: Option<BTreeSet<String>>,
    /// A verdict says that the server is done with the request.
    pub released: bool,
    /// Cancelled at the server.
    pub cancelled: bool,
    /// Requests of a legacy server without an answer.
    pub awaited: BTreeSet<u64>,
    /// Timeouts are held.
    pub held: bool,
    pub gone: bool,
    pub drained: bool,
    pub progress: u64,
    /// Last progress that its client got.
    pub told: u64,
    /// Time of the last request of its server.
    pub asked: Timestamp,
    /// Handle under which it is suspended, or about to be.
    pub handle: Option<SuspensionHandle>,
    pub suspended: bool,
}

pub struct Proxy {
    pub name: Slug,
    /// By principal.
    pub links: BTreeMap<usize, UpstreamSessionMachine<FakeSession, CallId>>,
    pub handshakes: Vec<usize>,
    pub sessions: BTreeMap<SessionName, Conversation>,
    pub elicitations: BTreeMap<[u8; 16], Waiting>,
    pub suspended: BTreeMap<SuspensionHandle, SuspendedClientCall>,
    /// Sessions that its links opened.
    pub opened: BTreeSet<String>,
}

#[derive(Default)]
pub struct Conversation {
    pub client: usize,
    pub machine: ClientSessionMachine,
    pub streams: BTreeSet<StreamId>,
    pub settling: bool,
}

pub struct Waiting {
    pub session: SessionName,
    pub principal: usize,
    pub call: CallId,
    /// Latest time of its answer.
    pub until: Timestamp,
}

pub struct SuspendedClientCall {
    pub machine: SuspensionMachine,
    pub principal: usize,
    pub call: CallId,
    /// Its client may come back until then.
    pub until: Timestamp,
}

#[derive(Default)]
pub struct LegacyServer {
    /// Sessions that it knows, and their principals.
    pub live: BTreeMap<String, usize>,
}

pub fn is_legacy(client: usize) -> bool {
    client < 2
}

pub fn principal_of(client: usize) -> usize {
    client % 2
}

impl Call {
    pub fn time(&self, now: Timestamp) -> CallTime {
        CallTime {
            elapsed: now.since(self.began),
            wall: now,
        }
    }
}

impl World {
    pub fn new() -> Self {
        let key = StateKey {
            epoch: 1,
            secret: Zeroizing::new(vec![1; 32]),
        };
        let principal = |name: &str| Principal {
            org: "acme".parse().unwrap(),
            subject: PrincipalSubject::User(name.parse().unwrap()),
        };
        Self {
            now: Timestamp(1_000),
            serial: 0,
            cipher: ClientStateCipher::new(&[key]).unwrap(),
            gateway: "main".parse().unwrap(),
            principals: PRINCIPALS.map(principal).to_vec(),
            sessions: Default::default(),
            requests: BTreeMap::new(),
            calls: BTreeMap::new(),
            proxies: (0..PROXIES).map(Proxy::new).collect(),
            server: LegacyServer::default(),
            ran: BTreeMap::new(),
            granted: BTreeMap::new(),
            asked: Vec::new(),
            states: Vec::new(),
            heard: BTreeSet::new(),
            resumable: true,
            seen: BTreeSet::new(),
        }
    }

    pub fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// An id that is used once.
    pub fn random(&mut self) -> [u8; 16] {
        u128::from(self.next()).to_be_bytes()
    }

    pub fn nonce(&mut self) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.random());
        nonce
    }

    pub fn state_context(&self, client: usize) -> StateContext<'_> {
        StateContext {
            gateway: &self.gateway,
            principal: &self.principals[principal_of(client)],
        }
    }

    /// The session of a legacy client, opened if need be; what any proxy makes of its id.
    pub fn facts_of(&mut self, client: usize) -> SessionClaims {
        if let Some(text) = &self.sessions[client] {
            let stranger = (client + 1) % 2;
            let foreign =
                session_id::decrypt(&self.cipher, self.state_context(stranger), text, self.now);
            assert_eq!(foreign, None, "a session opens for its principal only");
            if let Some(facts) =
                session_id::decrypt(&self.cipher, self.state_context(client), text, self.now)
            {
                return facts;
            }
        }
        let (random, nonce) = (self.random(), self.nonce());
        let facts = SessionClaims {
            version: "2025-11-25",
            capabilities: ClientCapabilities::ALL,
            issued: self.now,
            random,
            owner: OwningProxy::new(self.proxies[0].name.clone(), None),
            opener: Default::default(),
        };
        let text = session_id::mint(&self.cipher, self.state_context(client), &facts, &nonce);
        self.sessions[client] = Some(text);
        facts
    }

    pub fn session_of(&mut self, client: usize) -> SessionName {
        self.facts_of(client).random
    }

    /// Ends a request: with its answer, or because its connection was gone first.
    pub fn end(&mut self, request: u64, client: usize, work: u64) {
        let found = self.requests.get_mut(&request).unwrap();
        assert!(!found.ended, "request {request} ended twice");
        assert_eq!(principal_of(found.client), principal_of(client));
        assert_eq!(found.work, work, "an answer of another call");
        found.ended = true;
    }

    /// Ends a call without its machine, as a lost proxy or a dropped suspended call does.
    pub fn drop_call(&mut self, call: CallId) {
        let Some(gone) = self.calls.remove(&call) else {
            return;
        };
        let waiting = &mut self.proxies[gone.proxy].elicitations;
        waiting.retain(|_, waiting| waiting.call != call);
        if let Some(request) = gone.request {
            self.end(request, gone.client, gone.work);
        }
    }
}

impl Proxy {
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("proxy-{number}").parse().unwrap(),
            links: BTreeMap::new(),
            handshakes: Vec::new(),
            sessions: BTreeMap::new(),
            elicitations: BTreeMap::new(),
            suspended: BTreeMap::new(),
            opened: BTreeSet::new(),
        }
    }
}
