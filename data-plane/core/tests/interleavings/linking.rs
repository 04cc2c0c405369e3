//! Links to the legacy server, which may forget its sessions at any time.

use std::sync::Arc;

use toolgate_data_core::{
    link::{Event, Link, Output},
    port::{LinkFacts, Opened},
    refusal::UpstreamFailure,
};

use crate::world::{CallId, World, principal_of};

impl World {
    pub fn want_link(&mut self, call: CallId) {
        let found = &self.calls[&call];
        let (proxy, principal) = (found.proxy, principal_of(found.client));
        self.on_link(proxy, principal, Event::Wanted(call));
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
            let session = format!("upstream-{}", self.next());
            self.server.live.insert(session.clone(), principal);
            self.proxies[proxy].opened.insert(session.clone());
            let opened = Opened {
                session: Some(session.into()),
                version: "2025-11-25".into(),
                capabilities: "{}".into(),
                kept: None,
            };
            Ok(Arc::new(LinkFacts::new(opened, self.now)))
        } else {
            Err(UpstreamFailure::Unreachable)
        };
        self.on_link(proxy, principal, Event::Opened(outcome));
    }

    /// The server restarts: it knows none of its sessions any more.
    pub fn forget_sessions(&mut self) {
        self.server.live.clear();
    }

    pub fn on_link(&mut self, proxy: usize, principal: usize, event: Event<CallId>) {
        let links = &mut self.proxies[proxy].links;
        let outputs = links
            .entry(principal)
            .or_insert_with(|| Link::new(None))
            .on(event);
        for output in outputs {
            match output {
                Output::Initialize => self.proxies[proxy].handshakes.push(principal),
                Output::Publish(_) => {}
                Output::Answer(call, Ok(facts)) => self.send(call, principal, facts),
                Output::Answer(call, Err(_)) => self.close_call(call),
                Output::Terminate(facts) => {
                    let session = facts.opened.session.as_deref().unwrap();
                    self.server.live.remove(session);
                }
                Output::Stop => {
                    self.proxies[proxy].links.remove(&principal);
                }
            }
        }
    }

    /// The call goes to the server, which does not know the session (404: it did not run), or does the work.
    fn send(&mut self, id: CallId, principal: usize, facts: Arc<LinkFacts>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        assert_eq!(principal_of(call.client), principal, "a link of another");
        assert!(!call.running, "two answers of a link to call {id}");
        let session = facts.opened.session.as_deref().unwrap();
        let Some(owner) = self.server.live.get(session) else {
            if std::mem::replace(&mut call.retried, true) {
                return self.close_call(id);
            }
            let proxy = call.proxy;
            let lost = Event::Lost {
                lost: facts,
                waiter: id,
            };
            return self.on_link(proxy, principal, lost);
        };
        assert_eq!(*owner, principal, "a session of another");
        facts.touch(self.now);
        call.running = true;
        call.link = Some(facts);
        *self.ran.entry(call.work).or_default() += 1;
    }
}
