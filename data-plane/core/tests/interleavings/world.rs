//! The world: who there is, and what each holds. The registries are plain maps here; what is decided, the machines
//! decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_data_core::{
    OwningProxy, Sealer,
    asking::{Asking, QuestionId},
    parked::{Handle, ParkedCall},
    port::UpstreamSessionHandle,
    seal::{SealContext, SealingKey},
    session::{
        ClientSessionMachine, StreamId,
        session_id::{self, ClientCapabilities, RANDOM_LEN, SessionClaims},
        upstream_session::UpstreamSessionMachine,
    },
};
use toolgate_model::{Principal, Slug, Timestamp, TokenSubject};
use zeroize::Zeroizing;

/// Clients: two principals, each with a legacy and a modern one.
pub const CLIENTS: usize = 4;

/// Proxies.
pub const PROXIES: usize = 2;

/// Number of a call that waits at a proxy.
pub type CallId = u64;

pub type SessionName = [u8; RANDOM_LEN];

pub struct World {
    pub now: Timestamp,
    pub serial: u64,
    pub sealer: Sealer,
    pub gateway: Slug,
    pub principals: Vec<Principal>,
    /// Session ids of the clients that have one.
    pub sessions: [Option<String>; CLIENTS],
    /// By number: whose, and whether it ended.
    pub requests: BTreeMap<u64, Request>,
    pub calls: BTreeMap<CallId, Call>,
    pub proxies: Vec<Proxy>,
    pub server: LegacyServer,
    /// How often a piece of work was done.
    pub ran: BTreeMap<u64, usize>,
    /// Every question that a client ever saw.
    pub asked: Vec<(QuestionId, usize)>,
    /// Every ticket that a client ever got, with the work that it is for.
    pub tickets: Vec<(String, u64)>,
    pub heard: BTreeSet<Vec<u8>>,
}

pub struct Request {
    pub client: usize,
    pub work: u64,
    pub ended: bool,
}

/// A call under way on a proxy.
pub struct Call {
    pub client: usize,
    pub work: u64,
    /// What its end answers; none while it is parked.
    pub request: Option<u64>,
    pub proxy: usize,
    pub legacy: bool,
    pub link: Option<Arc<UpstreamSessionHandle>>,
    pub retried: bool,
    /// Whether it waits for a link.
    pub waits: bool,
    /// Whether it is on its way to the server.
    pub sent: bool,
    /// Whether the server is at it.
    pub running: bool,
    pub asking: Asking,
    /// The server's questions that a parked call waits for.
    pub parked: BTreeSet<u64>,
    /// The server's questions that it awaits answers to.
    pub awaited: BTreeSet<u64>,
}

pub struct Proxy {
    pub name: Slug,
    /// By principal.
    pub links: BTreeMap<usize, UpstreamSessionMachine<CallId>>,
    pub handshakes: Vec<usize>,
    pub sessions: BTreeMap<SessionName, Conversation>,
    pub questions: BTreeMap<[u8; 16], Waiting>,
    pub parked: BTreeMap<Handle, Standing>,
    /// What its links opened, for the server to forget when nobody is left who could.
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
    /// Nobody is to wait for its answer any longer than this.
    pub until: Timestamp,
}

pub struct Standing {
    pub machine: ParkedCall,
    pub principal: usize,
    pub call: CallId,
    /// Until then its client may come back.
    pub until: Timestamp,
}

#[derive(Default)]
pub struct LegacyServer {
    /// Sessions that it knows, and whom they were opened for.
    pub live: BTreeMap<String, usize>,
}

pub fn is_legacy(client: usize) -> bool {
    client < 2
}

pub fn principal_of(client: usize) -> usize {
    client % 2
}

impl World {
    pub fn new() -> Self {
        let key = SealingKey {
            epoch: 1,
            secret: Zeroizing::new(vec![1; 32]),
        };
        let principal = |name: &str| Principal {
            org: "acme".parse().unwrap(),
            subject: TokenSubject::User(name.parse().unwrap()),
        };
        Self {
            now: Timestamp(1_000),
            serial: 0,
            sealer: Sealer::new(&[key]).unwrap(),
            gateway: "main".parse().unwrap(),
            principals: ["ada", "bob"].map(principal).to_vec(),
            sessions: Default::default(),
            requests: BTreeMap::new(),
            calls: BTreeMap::new(),
            proxies: (0..PROXIES).map(Proxy::new).collect(),
            server: LegacyServer::default(),
            ran: BTreeMap::new(),
            asked: Vec::new(),
            tickets: Vec::new(),
            heard: BTreeSet::new(),
        }
    }

    pub fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A name that nobody has.
    pub fn random(&mut self) -> [u8; 16] {
        u128::from(self.next()).to_be_bytes()
    }

    pub fn nonce(&mut self) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.random());
        nonce
    }

    pub fn binding(&self, client: usize) -> SealContext<'_> {
        SealContext {
            gateway: &self.gateway,
            principal: &self.principals[principal_of(client)],
        }
    }

    /// The session of a legacy client, opened if need be; what any proxy makes of its id.
    pub fn session_of(&mut self, client: usize) -> SessionName {
        if let Some(text) = &self.sessions[client] {
            let stranger = (client + 1) % 2;
            let foreign = session_id::open(&self.sealer, self.binding(stranger), text, self.now);
            assert_eq!(foreign, None, "a session opens for its principal only");
            if let Some(facts) =
                session_id::open(&self.sealer, self.binding(client), text, self.now)
            {
                return facts.random;
            }
        }
        let (random, nonce) = (self.random(), self.nonce());
        let facts = SessionClaims {
            version: "2025-11-25",
            capabilities: ClientCapabilities::ALL,
            issued: self.now,
            random,
            owner: OwningProxy::new(self.proxies[0].name.clone(), None),
        };
        let text = session_id::mint(&self.sealer, self.binding(client), &facts, &nonce);
        self.sessions[client] = Some(text);
        random
    }

    /// The one end of a request: its answer, or its connection was gone first.
    pub fn end(&mut self, request: u64, client: usize, work: u64) {
        let found = self.requests.get_mut(&request).unwrap();
        assert!(!found.ended, "request {request} ended twice");
        assert_eq!(principal_of(found.client), principal_of(client));
        assert_eq!(found.work, work, "an answer of another call");
        found.ended = true;
    }

    /// Ends a call and all that hangs on it, as dropping it does.
    pub fn drop_call(&mut self, call: CallId) -> Option<Call> {
        let gone = self.calls.remove(&call)?;
        let questions = &mut self.proxies[gone.proxy].questions;
        questions.retain(|_, waiting| waiting.call != call);
        Some(gone)
    }

    /// Ends a call, and with it the request that waits for it.
    pub fn close_call(&mut self, call: CallId) {
        let Some(gone) = self.drop_call(call) else {
            return;
        };
        if let Some(request) = gone.request {
            self.end(request, gone.client, gone.work);
        }
    }

    /// What holds at any moment.
    pub fn check(&self) {
        for (work, ran) in &self.ran {
            assert_eq!(*ran, 1, "work {work} was done more than once");
        }
        for (request, found) in &self.requests {
            let calls = self.calls.values();
            let waits = calls.filter(|call| call.request == Some(*request)).count();
            let expected = usize::from(!found.ended);
            assert_eq!(waits, expected, "request {request} is someone's, or ended");
        }
        for proxy in &self.proxies {
            let open: usize = proxy.questions.len();
            let late = |waiting: &Waiting| waiting.until <= self.now;
            assert!(!proxy.questions.values().any(late), "an answer is late");
            let held = |call: &&Call| self.proxies[call.proxy].name == proxy.name;
            let calls = self.calls.values().filter(held);
            assert_eq!(open, calls.map(|call| call.asking.open()).sum::<usize>());
        }
        for (call, found) in &self.calls {
            let parked = &self.proxies[found.proxy].parked;
            let kept = parked
                .values()
                .filter(|parked| parked.call == *call)
                .count();
            assert_eq!(kept, usize::from(!found.parked.is_empty()), "call {call}");
            if found.waits {
                let links = &self.proxies[found.proxy].links;
                let link = links.get(&principal_of(found.client));
                let state = link.map(UpstreamSessionMachine::state);
                assert_eq!(state, Some("opening"), "call {call} waits for nothing");
            }
            if found.legacy && is_legacy(found.client) {
                assert_eq!(found.asking.open(), found.awaited.len(), "call {call}");
            }
        }
    }

    /// All comes to its end by itself: handshakes, servers that are too slow, and time.
    pub fn wind_up(&mut self) {
        let opening = |proxy: &Proxy| !proxy.handshakes.is_empty();
        let sent = |call: &Call| call.sent;
        while self.proxies.iter().any(opening) || self.calls.values().any(sent) {
            self.handshake(0, true);
            self.arrive(0);
        }
        let slow: Vec<CallId> = self.calls.keys().copied().collect();
        for call in slow {
            if self
                .calls
                .get(&call)
                .is_some_and(|call| call.parked.is_empty())
            {
                self.close_call(call);
            }
        }
        for _ in 0..3 {
            self.later(11 * 60);
        }
        (0..CLIENTS).for_each(|client| self.delete(client));
        self.check();
        assert!(self.requests.values().all(|request| request.ended));
        assert!(self.calls.is_empty(), "calls are left behind");
        for proxy in &self.proxies {
            assert!(proxy.links.is_empty(), "links are left behind");
            assert!(proxy.questions.is_empty(), "questions are left behind");
            assert!(proxy.parked.is_empty(), "parked calls are left behind");
            assert!(proxy.sessions.is_empty(), "sessions are left behind");
        }
        let live = &self.server.live;
        assert!(live.is_empty(), "sessions at the server are left: {live:?}");
    }
}

impl Proxy {
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("proxy-{number}").parse().unwrap(),
            links: BTreeMap::new(),
            handshakes: Vec::new(),
            sessions: BTreeMap::new(),
            questions: BTreeMap::new(),
            parked: BTreeMap::new(),
            opened: BTreeSet::new(),
        }
    }
}
