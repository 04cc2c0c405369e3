//! Sessions with the legacy server, which may forget them at any time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use toolgate_data_core::{
    call::{self, UpstreamHead},
    port::UpstreamSession,
    refusal::UpstreamFailure,
    session::upstream_session::{Event, Output, UpstreamSessionMachine},
};

use toolgate_model::Timestamp;

use crate::world::{Call, CallId, World, principal_of};

/// Session with the legacy server, as the machines see it.
#[derive(Debug)]
pub struct FakeSession {
    pub id: String,
    last_used: AtomicU64,
}

impl UpstreamSession for FakeSession {
    fn last_used(&self) -> Timestamp {
        Timestamp(self.last_used.load(Ordering::Relaxed))
    }

    fn touch(&self, now: Timestamp) {
        self.last_used.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl World {
    pub fn want_link(&mut self, call: CallId) {
        let found = self.calls.get_mut(&call).unwrap();
        found.waits = true;
        let (proxy, principal) = (found.proxy, principal_of(found.client));
        self.on_link(proxy, principal, Event::Requested(call));
    }

    /// A handshake comes to its end.
    pub fn handshake(&mut self, which: usize, well: bool) {
        let under_way =
            |(at, proxy): (usize, &crate::world::Proxy)| vec![at; proxy.handshakes.len()];
        let all: Vec<usize> = self
            .proxies
            .iter()
            .enumerate()
            .flat_map(under_way)
            .collect();
        if all.is_empty() {
            return;
        }
        let proxy = all[which % all.len()];
        let count = self.proxies[proxy].handshakes.len();
        let principal = self.proxies[proxy].handshakes.remove(which % count);
        let outcome = if well {
            let id = format!("upstream-{}", self.next());
            self.server.live.insert(id.clone(), principal);
            self.proxies[proxy].opened.insert(id.clone());
            let last_used = AtomicU64::new(self.now.0);
            Ok(Arc::new(FakeSession { id, last_used }))
        } else {
            Err(UpstreamFailure::Unreachable)
        };
        self.on_link(proxy, principal, Event::Opened(outcome));
    }

    /// The server restarts: it knows none of its sessions any more.
    pub fn forget_sessions(&mut self) {
        self.server.live.clear();
    }

    pub fn on_link(&mut self, proxy: usize, principal: usize, event: Event<FakeSession, CallId>) {
        let time = matches!(event, Event::Tick(_));
        let links = &mut self.proxies[proxy].links;
        let outputs = links
            .entry(principal)
            .or_insert_with(|| UpstreamSessionMachine::new(None))
            .on(event);
        for output in outputs {
            match output {
                Output::Initialize => {
                    let handshakes = &mut self.proxies[proxy].handshakes;
                    assert!(!handshakes.contains(&principal), "two handshakes at a time");
                    handshakes.push(principal);
                }
                Output::Publish(_) => {}
                Output::Answer(call, Ok(session)) => self.linked(call, principal, session),
                Output::Answer(call, Err(failure)) => self.unlinked(call, failure),
                Output::Terminate(session) => {
                    let uses = |call: &Call| {
                        let link = call.link.as_ref();
                        !call.waits && link.is_some_and(|link| Arc::ptr_eq(link, &session))
                    };
                    let used = self.calls.values().any(uses);
                    assert!(!(time && used), "a link in use was ended for being idle");
                    self.server.live.remove(&session.id);
                }
                Output::Stop => {
                    self.proxies[proxy].links.remove(&principal);
                }
            }
        }
    }

    /// The server is configured anew on a proxy: links to what it was end there.
    pub fn reconfigure(&mut self, proxy: usize) {
        let links: Vec<usize> = self.proxies[proxy].links.keys().copied().collect();
        for principal in links {
            self.on_link(proxy, principal, Event::End);
        }
    }

    /// The call is on its way to the server.
    fn linked(&mut self, id: CallId, principal: usize, session: Arc<FakeSession>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        assert_eq!(principal_of(call.client), principal, "a link of another");
        let twice = call.sent || call.running;
        assert!(!twice, "two answers of a link to call {id}");
        session.touch(self.now);
        call.waits = false;
        call.sent = true;
        call.link = Some(session);
    }

    /// There is no session to send the call in.
    fn unlinked(&mut self, id: CallId, failure: UpstreamFailure) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.waits = false;
            let retryable = false;
            let head = UpstreamHead::Failed { failure, retryable };
            self.feed(id, call::CallEvent::UpstreamHead(head));
            assert!(!self.calls.contains_key(&id), "call {id} cannot be sent");
        }
    }
}
