//! Requests of clients, and what ends them: the client, the loss of a proxy, time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use toolgate_data_core::{
    call::{CallEvent, elicitation::GRACE_PERIOD, suspended::SuspensionEvent},
    plan::CallPlan,
    port::UpstreamSession as _,
    session::upstream_session,
};

use crate::{
    plans::CallRequest,
    world::{Call, CallId, Proxy, UpstreamRequest, World, is_legacy},
};

impl World {
    /// A client sends a call.
    pub fn call(&mut self, client: usize, legacy: bool, proxy: usize) {
        let work = self.next();
        let number = self.request(client, work);
        let facts = is_legacy(client).then(|| self.facts_of(client));
        let request = CallRequest {
            client,
            legacy,
            number,
            work,
            extra: "",
        };
        let planned = request.plan(&self.cipher, facts.as_ref(), self.now);
        self.begin(number, work, client, proxy, planned.unwrap());
    }

    pub fn begin(
        &mut self,
        request: u64,
        work: u64,
        client: usize,
        proxy: usize,
        (plan, body): (Arc<CallPlan>, Bytes),
    ) {
        let id = self.next();
        *self.granted.entry(work).or_default() += 1;
        let call = Call {
            client,
            work,
            request: Some(request),
            proxy,
            legacy: plan.server().name.id.as_str() == "files",
            machine: Self::machine(&plan),
            plan,
            body,
            began: self.now,
            link: None,
            waits: false,
            sent: false,
            running: false,
            upstream_id: 0,
            started: false,
            did_not_run: false,
            retried: false,
            round: None,
            released: false,
            cancelled: false,
            awaited: BTreeSet::new(),
            held: false,
            gone: false,
            drained: false,
            progress: 0,
            told: 0,
            asked: self.now,
            handle: None,
            suspended: false,
        };
        self.calls.insert(id, call);
        self.start(id);
    }

    pub fn request(&mut self, client: usize, work: u64) -> u64 {
        let number = self.next();
        let ended = false;
        let request = UpstreamRequest {
            client,
            work,
            ended,
        };
        self.requests.insert(number, request);
        number
    }

    fn of_client(&self, client: usize) -> Vec<CallId> {
        let theirs = |(_, call): &(&CallId, &Call)| call.client == client && call.request.is_some();
        let calls = self.calls.iter().filter(theirs);
        calls.map(|(id, _)| *id).collect()
    }

    pub fn cancel(&mut self, client: usize, which: usize) {
        let all = self.of_client(client);
        if !all.is_empty() {
            self.feed(all[which % all.len()], CallEvent::Cancel);
        }
    }

    /// All connections of a client are gone. Modern clients have cancelled their calls by that.
    pub fn disconnect(&mut self, client: usize) {
        for id in self.of_client(client) {
            if is_legacy(client) {
                self.leave(id);
            }
            self.feed(id, CallEvent::ClientDisconnected);
            let ended = !self.calls.contains_key(&id);
            assert_eq!(ended, !is_legacy(client), "call {id}");
        }
        if is_legacy(client) {
            self.hang_up(client);
        }
    }

    /// The stream of a legacy client's call has ended: the call goes on without it, and its client may still answer,
    /// but soon.
    fn leave(&mut self, id: CallId) {
        let call = self.calls.get_mut(&id).unwrap();
        call.gone = true;
        let (client, work, proxy) = (call.client, call.work, call.proxy);
        let request = call.request.take().unwrap();
        let soon = self.now.after(GRACE_PERIOD);
        for waiting in self.proxies[proxy].elicitations.values_mut() {
            if waiting.call == id {
                waiting.until = waiting.until.min(soon);
            }
        }
        self.end(request, client, work);
    }

    /// A proxy is asked to stop: it waits for no client any more, and hands no call out.
    pub fn drain(&mut self, proxy: usize) {
        let here = |(_, call): &(&CallId, &Call)| call.proxy == proxy && !call.suspended;
        let all: Vec<CallId> = self.calls.iter().filter(here).map(|(id, _)| *id).collect();
        for id in all {
            self.calls.get_mut(&id).unwrap().drained = true;
            self.feed(id, CallEvent::Drain);
        }
        let suspended: Vec<_> = self.proxies[proxy].suspended.keys().copied().collect();
        for handle in suspended {
            self.on_suspended(proxy, handle, SuspensionEvent::End);
        }
        let held = &self.proxies[proxy];
        assert!(held.elicitations.is_empty(), "it waits for clients");
        assert!(held.suspended.is_empty(), "it keeps suspended calls");
        self.reconfigure(proxy);
    }

    /// A proxy dies: what it held is gone, what clients hold stays with them.
    pub fn lose(&mut self, proxy: usize) {
        let here = |(_, call): &(&CallId, &Call)| call.proxy == proxy;
        let all: Vec<CallId> = self.calls.iter().filter(here).map(|(id, _)| *id).collect();
        all.into_iter().for_each(|call| self.drop_call(call));
        let lost = std::mem::replace(&mut self.proxies[proxy], Proxy::new(proxy));
        self.server
            .live
            .retain(|session, _| !lost.opened.contains(session));
    }

    pub fn later(&mut self, time: Duration) {
        self.now = self.now.after(time);
        for call in self.calls.values() {
            // A call under way keeps its link in use.
            if let Some(session) = &call.link {
                session.touch(self.now);
            }
        }
        self.settle_deadlines();
        for proxy in 0..self.proxies.len() {
            let suspended: Vec<_> = self.proxies[proxy].suspended.keys().copied().collect();
            for handle in suspended {
                self.on_suspended(proxy, handle, SuspensionEvent::Tick(self.now));
            }
            let links: Vec<usize> = self.proxies[proxy].links.keys().copied().collect();
            for principal in links {
                self.on_link(proxy, principal, upstream_session::Event::Tick(self.now));
            }
            self.settle(proxy);
        }
    }
}
