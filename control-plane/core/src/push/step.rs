//! State transitions of a push session.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{Delta, Digest, Proxy, Refusal, ResourceKey, Snapshot, Timestamp};

use super::{
    ANSWER_DEADLINE, Closed, Event, HEARTBEAT, Hello, InFlight, Open, Output, Phase, Session,
};

impl Session {
    pub(super) fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Output> {
        let mut out = Vec::new();
        match event {
            Event::Hello(hello) => self.greet(hello, now, &mut out),
            Event::Wanted(snapshot) => {
                let newer = |held: &Arc<Snapshot>| held.version <= snapshot.version;
                if self.wanted.as_ref().is_none_or(newer) {
                    self.wanted = Some(snapshot);
                }
            }
            Event::Ack { nonce } => self.answer(nonce, Vec::new(), now, &mut out),
            Event::Nack { nonce, refused } => self.answer(nonce, refused, now, &mut out),
            Event::Tick => self.tick(now, &mut out),
            Event::Disconnected => self.close(Closed::Disconnected, now, &mut out),
        }
        self.offer(now, &mut out);
        self.sleep(now, &mut out);
        out
    }

    fn greet(&mut self, hello: Hello, now: Timestamp, out: &mut Vec<Output>) {
        match &self.phase {
            Phase::Greeting { .. } => {
                let open = Box::new(Open::new(hello, now));
                out.push(Output::RecordProxy(open.proxy.clone()));
                self.phase = Phase::Open(open);
            }
            Phase::Open(_) => self.close(Closed::NoHello, now, out),
            Phase::Closed => {}
        }
    }

    fn answer(&mut self, nonce: u64, refused: Vec<Refusal>, now: Timestamp, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Greeting { .. } => self.close(Closed::NoHello, now, out),
            Phase::Open(open) => match open.in_flight.take_if(|flight| flight.nonce == nonce) {
                Some(flight) => {
                    open.take(flight.delta, refused, now);
                    out.push(Output::RecordProxy(open.proxy.clone()));
                }
                None => self.close(Closed::WrongNonce, now, out),
            },
            Phase::Closed => {}
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Greeting { until } if *until <= now => self.close(Closed::NoHello, now, out),
            Phase::Open(open) => {
                if open
                    .in_flight
                    .as_ref()
                    .is_some_and(|flight| flight.until <= now)
                {
                    self.close(Closed::NoAnswer, now, out);
                } else if open.recorded.after(HEARTBEAT) <= now {
                    open.seen(now);
                    out.push(Output::RecordProxy(open.proxy.clone()));
                }
            }
            Phase::Greeting { .. } | Phase::Closed => {}
        }
    }

    fn close(&mut self, why: Closed, now: Timestamp, out: &mut Vec<Output>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        match phase {
            Phase::Open(mut open) => {
                open.proxy.connected = false;
                open.seen(now);
                out.push(Output::RecordProxy(open.proxy));
                out.push(Output::Close(why));
            }
            Phase::Greeting { .. } => out.push(Output::Close(why)),
            Phase::Closed => {}
        }
    }

    /// Sends an update if none is in flight and the proxy lacks a part of the target snapshot.
    fn offer(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        let Some(wanted) = &self.wanted else { return };
        // Within an epoch a proxy never moves to an older version: a control plane that lags behind sends nothing.
        if open.in_flight.is_some() || wanted.version < open.proxy.acked {
            return;
        }
        let delta = open.lacks(wanted);
        if delta.is_empty() && open.proxy.acked == wanted.version {
            return;
        }
        self.last_nonce += 1;
        let nonce = self.last_nonce;
        open.proxy.held = delta.version;
        open.in_flight = Some(InFlight {
            nonce,
            delta: delta.clone(),
            until: now.after(ANSWER_DEADLINE),
        });
        out.push(Output::Send { delta, nonce });
    }

    fn sleep(&self, now: Timestamp, out: &mut Vec<Output>) {
        let at = match &self.phase {
            Phase::Greeting { until } => *until,
            Phase::Open(open) => {
                let heartbeat = open.recorded.after(HEARTBEAT);
                let flight = open.in_flight.as_ref().map(|flight| flight.until);
                flight.map_or(heartbeat, |until| until.min(heartbeat))
            }
            Phase::Closed => return,
        };
        out.push(Output::WakeAt(at.max(now)));
    }
}

impl Open {
    fn new(hello: Hello, now: Timestamp) -> Self {
        let proxy = Proxy {
            id: hello.id,
            region: hello.region,
            build: hello.build,
            listen: hello.listen,
            started: hello.started,
            last_seen: now,
            connected: true,
            held: hello.held,
            acked: hello.held,
            refusals: Vec::new(),
        };
        Self {
            proxy,
            holds: hello.resources,
            refused: BTreeMap::new(),
            in_flight: None,
            recorded: now,
        }
    }

    fn lacks(&self, wanted: &Snapshot) -> Delta {
        let mut delta = wanted.since(&self.holds);
        delta.puts.retain(|(key, entry)| {
            let refused = self.refused.get(key);
            refused.is_none_or(|(digest, _)| *digest != entry.digest)
        });
        // A proxy may deny a gateway that it rejected, so a rejected resource is removed explicitly.
        let gone = |key: &&ResourceKey| {
            !wanted.entries.contains_key(*key) && !self.holds.contains_key(*key)
        };
        delta
            .removes
            .extend(self.refused.keys().filter(gone).cloned());
        delta
    }

    fn take(&mut self, delta: Delta, refused: Vec<Refusal>, now: Timestamp) {
        let reasons: BTreeMap<_, _> = refused
            .into_iter()
            .map(|it| (it.resource, it.reason))
            .collect();
        for key in delta.removes {
            self.holds.remove(&key);
            self.refused.remove(&key);
        }
        for (key, entry) in delta.puts {
            match reasons.get(&key) {
                Some(reason) => {
                    self.refused.insert(key, (entry.digest, reason.clone()));
                }
                None => {
                    self.refused.remove(&key);
                    self.holds.insert(key, entry.digest);
                }
            }
        }
        self.proxy.acked = delta.version;
        self.proxy.refusals = self.refusals();
        self.seen(now);
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal = |(resource, (_, reason)): (&ResourceKey, &(Digest, String))| Refusal {
            resource: resource.clone(),
            reason: reason.clone(),
        };
        self.refused.iter().map(refusal).collect()
    }

    fn seen(&mut self, now: Timestamp) {
        self.proxy.last_seen = now;
        self.recorded = now;
    }
}
