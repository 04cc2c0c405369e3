//! Requests of clients, and what ends them: the server, the client, the loss of a proxy, time.

use std::collections::BTreeSet;

use toolgate_data_core::{
    asking::{self, Asking, GRACE},
    parked,
    session::upstream_session,
};

use crate::world::{Call, CallId, Proxy, Request, World, is_legacy};

impl World {
    pub fn call(&mut self, client: usize, legacy: bool, proxy: usize) {
        let work = self.next();
        let request = self.request(client, work);
        let id = self.next();
        let call = Call {
            client,
            work,
            request: Some(request),
            proxy,
            legacy,
            link: None,
            retried: false,
            waits: false,
            sent: false,
            running: !legacy,
            asking: Asking::new("files".parse().unwrap(), None),
            parked: BTreeSet::new(),
            awaited: BTreeSet::new(),
        };
        self.calls.insert(id, call);
        if legacy {
            self.want_link(id);
        }
    }

    pub fn request(&mut self, client: usize, work: u64) -> u64 {
        let number = self.next();
        let ended = false;
        let request = Request {
            client,
            work,
            ended,
        };
        self.requests.insert(number, request);
        number
    }

    /// One of the calls that their server is at and may say something to.
    pub fn running(&self, which: usize) -> Option<CallId> {
        let talks = |call: &Call| call.running && call.parked.is_empty();
        let all: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| talks(call))
            .map(|(id, _)| *id)
            .collect();
        all.get(which.checked_rem(all.len())?).copied()
    }

    /// The server answers.
    pub fn finish(&mut self, which: usize) {
        let Some(id) = self.running(which) else {
            return;
        };
        let call = &self.calls[&id];
        if !call.legacy {
            // A modern server does the work when it has all that it asked for.
            *self.ran.entry(call.work).or_default() += 1;
        }
        self.close_call(id);
    }

    pub fn cancel(&mut self, client: usize, which: usize) {
        let theirs = |(_, call): &(&CallId, &Call)| call.client == client && call.request.is_some();
        let all: Vec<CallId> = self
            .calls
            .iter()
            .filter(theirs)
            .map(|(id, _)| *id)
            .collect();
        if !all.is_empty() {
            self.close_call(all[which % all.len()]);
        }
    }

    pub fn disconnect(&mut self, client: usize) {
        let theirs = |(_, call): &(&CallId, &Call)| call.client == client && call.request.is_some();
        let all: Vec<CallId> = self
            .calls
            .iter()
            .filter(theirs)
            .map(|(id, _)| *id)
            .collect();
        if is_legacy(client) {
            // It has cancelled nothing by that.
            all.into_iter().for_each(|call| self.leave(call));
            self.hang_up(client);
        } else {
            all.into_iter().for_each(|call| self.close_call(call));
        }
    }

    /// The stream of a legacy client's call has ended: the call goes on without it, and it may still answer, but soon.
    fn leave(&mut self, id: CallId) {
        let call = self.calls.get_mut(&id).unwrap();
        let (client, work, proxy) = (call.client, call.work, call.proxy);
        let request = call.request.take().unwrap();
        call.asking.left(self.now);
        let soon = self.now.after(GRACE);
        for waiting in self.proxies[proxy].questions.values_mut() {
            if waiting.call == id {
                waiting.until = waiting.until.min(soon);
            }
        }
        self.end(request, client, work);
    }

    /// A proxy is asked to stop: it waits for no people any more, and hands no call out.
    pub fn drain(&mut self, proxy: usize) {
        let here = |(_, call): &(&CallId, &Call)| call.proxy == proxy;
        let all: Vec<CallId> = self.calls.iter().filter(here).map(|(id, _)| *id).collect();
        for call in all {
            self.on_asking(call, asking::Event::Over);
        }
        let parked: Vec<_> = self.proxies[proxy].parked.keys().copied().collect();
        for handle in parked {
            self.on_parked(proxy, handle, parked::Event::End);
        }
        let held = &self.proxies[proxy];
        assert!(held.questions.is_empty(), "it waits for people");
        assert!(held.parked.is_empty(), "it keeps parked calls");
        self.reconfigure(proxy);
    }

    /// A proxy dies: what it held is gone, what clients hold of it stays with them.
    pub fn lose(&mut self, proxy: usize) {
        let here = |(_, call): &(&CallId, &Call)| call.proxy == proxy;
        let all: Vec<CallId> = self.calls.iter().filter(here).map(|(id, _)| *id).collect();
        all.into_iter().for_each(|call| self.close_call(call));
        let lost = std::mem::replace(&mut self.proxies[proxy], Proxy::new(proxy));
        self.server
            .live
            .retain(|session, _| !lost.opened.contains(session));
    }

    pub fn later(&mut self, seconds: u64) {
        self.now = self.now.after(std::time::Duration::from_secs(seconds));
        for call in self.calls.values() {
            // Whoever waits with a call keeps its link in use.
            if let Some(facts) = &call.link {
                facts.touch(self.now);
            }
        }
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.on_asking(call, asking::Event::Tick);
        }
        for proxy in 0..self.proxies.len() {
            let parked: Vec<_> = self.proxies[proxy].parked.keys().copied().collect();
            for handle in parked {
                self.on_parked(proxy, handle, parked::Event::Tick(self.now));
            }
            let links: Vec<usize> = self.proxies[proxy].links.keys().copied().collect();
            for principal in links {
                self.on_link(proxy, principal, upstream_session::Event::Tick(self.now));
            }
            self.settle(proxy);
        }
    }
}
