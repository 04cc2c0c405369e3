//! State transitions of a push session.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use toolgate_model::{
    Delta, Digest, ObjectName, ProxyStatus, ResourceKey, ResourceRejection, ServerHealth, Snapshot,
    Timestamp,
    server_health::{HEALTH_SERVERS, most_relevant},
};

use super::{
    ACK_TIMEOUT, ConnectedProxy, HEARTBEAT_INTERVAL, InFlightUpdate, OBSERVATION_INTERVAL,
    PushAction, PushCloseReason, PushEvent, PushHello, PushReport, PushSession, SessionPhase,
};

impl PushSession {
    pub(super) fn handle(&mut self, event: PushEvent, now: Timestamp) -> Vec<PushAction> {
        let mut out = Vec::new();
        match event {
            PushEvent::Hello(hello) => self.handle_hello(hello, now, &mut out),
            PushEvent::SnapshotReady(snapshot) => {
                let newer = |held: &Arc<Snapshot>| held.version <= snapshot.version;
                if self.target.as_ref().is_none_or(newer) {
                    self.target = Some(snapshot);
                }
            }
            PushEvent::Ack { nonce } => self.handle_response(nonce, Vec::new(), now, &mut out),
            PushEvent::Nack { nonce, rejected } => {
                self.handle_response(nonce, rejected, now, &mut out)
            }
            PushEvent::Report(report) => self.handle_report(report, now, &mut out),
            PushEvent::Tick => self.handle_tick(now, &mut out),
            PushEvent::Disconnected => self.close(PushCloseReason::Disconnected, now, &mut out),
        }
        self.send_pending(now, &mut out);
        self.schedule_wakeup(now, &mut out);
        out
    }

    fn handle_hello(&mut self, hello: PushHello, now: Timestamp, out: &mut Vec<PushAction>) {
        match &self.phase {
            SessionPhase::AwaitingHello { .. } => {
                let open = Box::new(ConnectedProxy::new(hello, now));
                out.push(PushAction::RecordProxy(open.proxy.clone()));
                self.phase = SessionPhase::Open(open);
            }
            SessionPhase::Open(_) => self.close(PushCloseReason::NoHello, now, out),
            SessionPhase::Closed => {}
        }
    }

    fn handle_response(
        &mut self,
        nonce: u64,
        rejected: Vec<ResourceRejection>,
        now: Timestamp,
        out: &mut Vec<PushAction>,
    ) {
        match &mut self.phase {
            SessionPhase::AwaitingHello { .. } => self.close(PushCloseReason::NoHello, now, out),
            SessionPhase::Open(open) => {
                match open.in_flight.take_if(|flight| flight.nonce == nonce) {
                    Some(flight) => {
                        open.apply_response(flight.delta, rejected);
                        open.record(now, out);
                    }
                    None => self.close(PushCloseReason::WrongNonce, now, out),
                }
            }
            SessionPhase::Closed => {}
        }
    }

    fn handle_report(&mut self, report: PushReport, now: Timestamp, out: &mut Vec<PushAction>) {
        match &mut self.phase {
            // A report is sent in a separate call, which can overtake the Hello of the stream.
            SessionPhase::AwaitingHello { .. } | SessionPhase::Closed => {}
            SessionPhase::Open(open) => {
                open.apply_report(report, now);
                if open.has_news && open.is_due(OBSERVATION_INTERVAL, now) {
                    open.record(now, out);
                }
            }
        }
    }

    fn handle_tick(&mut self, now: Timestamp, out: &mut Vec<PushAction>) {
        match &mut self.phase {
            SessionPhase::AwaitingHello { until } if *until <= now => {
                self.close(PushCloseReason::NoHello, now, out)
            }
            SessionPhase::Open(open) => {
                if open
                    .in_flight
                    .as_ref()
                    .is_some_and(|flight| flight.deadline <= now)
                {
                    self.close(PushCloseReason::AckTimeout, now, out);
                } else if open.is_due(open.record_interval(), now) {
                    open.record(now, out);
                }
            }
            SessionPhase::AwaitingHello { .. } | SessionPhase::Closed => {}
        }
    }

    fn close(&mut self, reason: PushCloseReason, now: Timestamp, out: &mut Vec<PushAction>) {
        let phase = std::mem::replace(&mut self.phase, SessionPhase::Closed);
        match phase {
            SessionPhase::Open(mut open) => {
                open.proxy.connected = false;
                open.record(now, out);
                out.push(PushAction::Close(reason));
            }
            SessionPhase::AwaitingHello { .. } => out.push(PushAction::Close(reason)),
            SessionPhase::Closed => {}
        }
    }

    /// Sends an update if none is in flight and the proxy lacks a part of the target snapshot.
    fn send_pending(&mut self, now: Timestamp, out: &mut Vec<PushAction>) {
        let SessionPhase::Open(open) = &mut self.phase else {
            return;
        };
        let Some(target) = &self.target else { return };
        // Within an epoch a proxy never moves to an older version: a control plane that lags behind sends nothing.
        if open.in_flight.is_some() || target.version < open.proxy.acked {
            return;
        }
        let delta = open.missing_from(target);
        if delta.is_empty() && open.proxy.acked == target.version {
            return;
        }
        self.last_nonce += 1;
        let nonce = self.last_nonce;
        open.proxy.held = delta.version;
        open.in_flight = Some(InFlightUpdate {
            nonce,
            delta: delta.clone(),
            deadline: now.after(ACK_TIMEOUT),
        });
        out.push(PushAction::Send { delta, nonce });
    }

    fn schedule_wakeup(&self, now: Timestamp, out: &mut Vec<PushAction>) {
        let at = match &self.phase {
            SessionPhase::AwaitingHello { until } => *until,
            SessionPhase::Open(open) => {
                let heartbeat = open.last_recorded.after(open.record_interval());
                let flight = open.in_flight.as_ref().map(|flight| flight.deadline);
                flight.map_or(heartbeat, |until| until.min(heartbeat))
            }
            SessionPhase::Closed => return,
        };
        // A clock that was set back does not delay the next heartbeat.
        let at = at.min(now.after(HEARTBEAT_INTERVAL));
        out.push(PushAction::WakeAt(at.max(now)));
    }
}

impl ConnectedProxy {
    fn new(hello: PushHello, now: Timestamp) -> Self {
        let proxy = ProxyStatus {
            id: hello.id,
            region: hello.region,
            build: hello.build,
            listen: hello.listen,
            started: hello.started,
            last_seen: now,
            connected: true,
            stream_started: now.max(Timestamp(hello.latest_stream.0.saturating_add(1))),
            held: hello.held,
            acked: hello.held,
            rejections: Vec::new(),
            clock: None,
            servers: Vec::new(),
        };
        Self {
            proxy,
            holds: hello.resources,
            rejected: BTreeMap::new(),
            compared: None,
            comparisons: 0,
            in_flight: None,
            last_recorded: now,
            has_news: false,
        }
    }

    fn apply_report(&mut self, report: PushReport, now: Timestamp) {
        if let Some(clock) = report.clock {
            let before = self.proxy.clock.replace(clock);
            self.has_news |= match before {
                Some(before) => before.differs_from(&clock),
                None => clock.is_off(),
            };
        }
        if report.servers.is_empty() && !report.replaces_servers {
            return;
        }
        let before = std::mem::take(&mut self.proxy.servers);
        let kept = before.iter().filter(|_| !report.replaces_servers).cloned();
        let current = kept.chain(report.servers);
        let mut by_server: BTreeMap<ObjectName, ServerHealth> =
            current.map(|it| (it.server.clone(), it)).collect();
        // After the merge: a report of a recovery replaces the report of its failure.
        by_server.retain(|_, it| !it.is_past(now));
        self.proxy.servers = most_relevant(by_server.into_values().collect(), HEALTH_SERVERS);
        let states = |servers: &[ServerHealth]| -> Vec<_> {
            let states = servers.iter().map(|it| {
                let endpoints = it.endpoints.iter().map(|failed| failed.endpoint.clone());
                let endpoints: Vec<_> = endpoints.collect();
                (it.server.clone(), it.state, it.outages, endpoints)
            });
            states.collect()
        };
        self.has_news |= states(&before) != states(&self.proxy.servers);
    }

    /// Returns the interval after which the status is recorded again.
    fn record_interval(&self) -> Duration {
        match self.has_news {
            true => OBSERVATION_INTERVAL,
            false => HEARTBEAT_INTERVAL,
        }
    }

    /// Returns `true` if the last record is this old, or of a time that has not come: the clock was set back.
    fn is_due(&self, interval: Duration, now: Timestamp) -> bool {
        now < self.last_recorded || self.last_recorded.after(interval) <= now
    }

    fn record(&mut self, now: Timestamp, out: &mut Vec<PushAction>) {
        self.proxy.last_seen = now;
        self.last_recorded = now;
        self.has_news = false;
        out.push(PushAction::RecordProxy(self.proxy.clone()));
    }

    /// Returns what the proxy lacks of `target`. The caller sends it: the next call compares what was written since only.
    fn missing_from(&mut self, target: &Snapshot) -> Delta {
        let compared = self.compared.replace(target.entries.clone());
        let written = compared.and_then(|compared| {
            let written = target.entries.written_since(&compared)?;
            Some(written.collect::<BTreeSet<_>>())
        });
        let keys = written.unwrap_or_else(|| {
            let held = self.holds.keys().chain(self.rejected.keys());
            target.entries.keys().chain(held).collect()
        });
        self.comparisons += keys.len() as u64;
        let mut delta = Delta {
            version: target.version,
            ..Delta::default()
        };
        for key in keys {
            match target.entries.get(key) {
                Some(entry) => {
                    let is_held = self.holds.get(key) == Some(&entry.digest);
                    let rejected = self.rejected.get(key);
                    let is_rejected = rejected.is_some_and(|(digest, _)| *digest == entry.digest);
                    if !is_held && !is_rejected {
                        delta.puts.push((key.clone(), entry.clone()));
                    }
                }
                // A proxy may deny a gateway that it rejected, so a rejected resource is removed explicitly.
                None if self.holds.contains_key(key) || self.rejected.contains_key(key) => {
                    delta.removes.push(key.clone());
                }
                None => {}
            }
        }
        delta
    }

    fn apply_response(&mut self, delta: Delta, rejected: Vec<ResourceRejection>) {
        let reasons: BTreeMap<_, _> = rejected
            .into_iter()
            .map(|it| (it.resource, it.reason))
            .collect();
        for key in delta.removes {
            self.holds.remove(&key);
            self.rejected.remove(&key);
        }
        for (key, entry) in delta.puts {
            match reasons.get(&key) {
                Some(reason) => {
                    self.rejected.insert(key, (entry.digest, reason.clone()));
                }
                None => {
                    self.rejected.remove(&key);
                    self.holds.insert(key, entry.digest);
                }
            }
        }
        self.proxy.acked = delta.version;
        self.proxy.rejections = self.rejections();
    }

    fn rejections(&self) -> Vec<ResourceRejection> {
        let rejection =
            |(resource, (_, reason)): (&ResourceKey, &(Digest, String))| ResourceRejection {
                resource: resource.clone(),
                reason: reason.clone(),
            };
        self.rejected.iter().map(rejection).collect()
    }
}
