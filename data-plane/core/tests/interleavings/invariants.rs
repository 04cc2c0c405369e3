//! Invariants of every moment, and of the end.

use std::time::Duration;

use toolgate_data_core::{
    call::{CallEvent, batcher::BATCH_WINDOW},
    session::upstream_session::UpstreamSessionMachine,
};

use crate::world::{CLIENTS, Call, CallId, Proxy, Waiting, World, is_legacy, principal_of};

impl World {
    pub fn check(&self) {
        for (work, ran) in &self.ran {
            let granted = self.granted.get(work).copied().unwrap_or_default();
            assert!(
                *ran <= granted,
                "work {work} was done {ran} times, sent {granted}"
            );
        }
        for (request, found) in &self.requests {
            let calls = self.calls.values();
            let waits = calls.filter(|call| call.request == Some(*request)).count();
            let expected = usize::from(!found.ended);
            assert_eq!(waits, expected, "request {request} has a call, or ended");
        }
        for proxy in &self.proxies {
            let late = |waiting: &Waiting| waiting.until <= self.now;
            assert!(!proxy.elicitations.values().any(late), "an answer is late");
            let held = |call: &&Call| self.proxies[call.proxy].name == proxy.name;
            let pending = self.calls.values().filter(held);
            let pending = pending.map(|call| call.machine.pending_elicitations());
            assert_eq!(proxy.elicitations.len(), pending.sum::<usize>());
        }
        self.calls
            .iter()
            .for_each(|(id, call)| self.check_call(*id, call));
    }

    fn check_call(&self, id: CallId, call: &Call) {
        let suspended = &self.proxies[call.proxy].suspended;
        let kept = suspended.values().filter(|kept| kept.call == id).count();
        assert_eq!(kept, usize::from(call.suspended), "call {id}");
        assert!(call.started, "call {id} was not sent");
        if call.waits {
            let links = &self.proxies[call.proxy].links;
            let state = links
                .get(&principal_of(call.client))
                .map(UpstreamSessionMachine::state);
            assert_eq!(state, Some("opening"), "call {id} waits for nothing");
        }
        let busy = call.waits || call.sent || call.running || call.suspended;
        let answers = call.machine.pending_elicitations() > 0;
        assert!(busy || answers, "call {id} waits for nothing");
        if call.legacy && is_legacy(call.client) {
            assert_eq!(
                call.machine.pending_elicitations(),
                call.awaited.len(),
                "call {id}"
            );
            assert_eq!(call.held, answers, "timeouts of call {id}");
        }
        if call.legacy && !is_legacy(call.client) && !call.suspended {
            let waits = self.now < call.asked.after(BATCH_WINDOW);
            assert!(
                waits || call.awaited.is_empty(),
                "call {id} leaves its server waiting"
            );
        }
        assert!(call.machine.pending_elicitations() <= 16);
        assert!(call.suspended <= call.held, "timeouts of a suspended call");
    }

    /// Deadlines that are due; a machine that is never done with them would spin.
    pub fn settle_deadlines(&mut self) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for id in calls {
            for round in 0.. {
                let Some(call) = self.calls.get(&id).filter(|call| !call.suspended) else {
                    break;
                };
                if call.machine.wait(call.time(self.now)) != Some(Duration::ZERO) {
                    break;
                }
                assert!(round < 20, "call {id} is due without end");
                self.feed(id, CallEvent::Deadline);
            }
        }
    }

    /// All comes to its end by itself: handshakes, slow servers, and time.
    pub fn wind_up(&mut self) {
        let opening = |proxy: &Proxy| !proxy.handshakes.is_empty();
        let sent = |call: &Call| call.sent;
        for round in 0.. {
            if !self.proxies.iter().any(opening) && !self.calls.values().any(sent) {
                break;
            }
            assert!(round < 10_000, "calls are sent without end");
            self.handshake(0, true);
            self.arrive(0, 15);
        }
        let slow: Vec<CallId> = self.calls.keys().copied().collect();
        for call in slow {
            if self.calls.get(&call).is_some_and(|call| !call.suspended) {
                self.feed(call, CallEvent::Cancel);
            }
        }
        for _ in 0..3 {
            self.later(Duration::from_secs(11 * 60));
        }
        (0..CLIENTS).for_each(|client| self.delete(client));
        self.check();
        assert!(self.requests.values().all(|request| request.ended));
        assert!(self.calls.is_empty(), "calls are left behind");
        for proxy in &self.proxies {
            assert!(proxy.links.is_empty(), "links are left behind");
            assert!(
                proxy.elicitations.is_empty(),
                "elicitations are left behind"
            );
            assert!(
                proxy.suspended.is_empty(),
                "suspended calls are left behind"
            );
            assert!(proxy.sessions.is_empty(), "sessions are left behind");
        }
        let live = &self.server.live;
        assert!(live.is_empty(), "sessions at the server are left: {live:?}");
    }
}
