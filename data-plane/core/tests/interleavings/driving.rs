//! The driver of the world: feeds events to the machines of calls, and checks and carries out their effects against a
//! reference model.

use toolgate_data_core::{
    OwningProxy,
    call::{
        CallEffect, CallEffects, CallEnd, CallEvent, CallMachine, CallOptions, ElicitationId,
        EncryptionRequest, PingOutcome, RetrySession, SessionRefusal, UpstreamEnd, UpstreamHead,
        UpstreamVerdict,
        elicitation::{ANSWER_TIMEOUT, MAX_PENDING},
        request_state::{EncryptedRequestState, REQUEST_STATE_LIFETIME},
        suspended::CallTicket,
        url_elicitation::{URL_ELICITATION_LIFETIME, UrlElicitation},
    },
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, ClientResponse},
    session::upstream_session,
};
use toolgate_mcp::object;

use crate::world::{Call, CallId, ClientState, Waiting, World, is_legacy, principal_of};

impl World {
    /// Feeds an event to a call, if it has not ended.
    pub fn feed(&mut self, id: CallId, event: CallEvent) {
        let now = self.now;
        if let Some(call) = self.calls.get_mut(&id) {
            let effects = call.machine.on(event, call.time(now));
            self.carry_out(id, effects);
        }
    }

    /// Begins a call.
    pub fn start(&mut self, id: CallId) {
        let effects = self.calls.get_mut(&id).unwrap().machine.start();
        self.carry_out(id, effects);
    }

    fn carry_out(&mut self, id: CallId, effects: CallEffects) {
        let (mut result, mut over) = (None, false);
        for effect in effects {
            assert!(!over, "an effect after the end: {effect:?}");
            over = matches!(effect, CallEffect::Finish(_) | CallEffect::Suspend(_));
            let next = self.run(id, effect);
            assert!(next.is_none() || result.is_none(), "two results");
            result = next.or(result);
        }
        if let Some(event) = result {
            self.feed(id, event);
        }
    }

    fn run(&mut self, id: CallId, effect: CallEffect) -> Option<CallEvent> {
        let call = self.calls.get_mut(&id).unwrap();
        assert!(!call.suspended, "a suspended call does nothing");
        self.seen.insert(name(&effect));
        match effect {
            CallEffect::SendUpstream(None) => {
                assert!(!std::mem::replace(&mut call.started, true), "sent twice");
                self.send(id, None);
            }
            CallEffect::SendUpstream(Some(answers)) => {
                let round = call.round.take().expect("no round was requested");
                let by = principal_of(call.client).to_string();
                let responses = answers.responses.unwrap_or_default();
                let answered = object::members(&responses).map(|member| {
                    let found = object::get(member.value, "by");
                    let is_theirs = found.is_none_or(|found| found == by.as_bytes());
                    assert!(is_theirs, "not theirs");
                    member.name.to_string()
                });
                assert_eq!(answered.collect::<std::collections::BTreeSet<_>>(), round);
                assert_eq!(answers.state.as_deref(), Some("\"s\""), "not its own state");
                call.retried = false;
                self.seen.insert("round");
                self.send(id, None);
            }
            CallEffect::Retry(session) => {
                assert!(std::mem::take(&mut call.did_not_run), "it may have run");
                assert!(
                    !std::mem::replace(&mut call.retried, true),
                    "tried a third time"
                );
                self.seen.insert("retry");
                self.send(id, Some(session));
            }
            CallEffect::ProbeSession => {
                let session = call.link.as_ref().unwrap();
                let ping = match self.server.live.contains_key(&session.id) {
                    true => PingOutcome::Answered,
                    false => PingOutcome::Refused(SessionRefusal::Status(404)),
                };
                return Some(CallEvent::SessionProbed(ping));
            }
            CallEffect::ProbeSessionLater(_)
            | CallEffect::DiscardSession
            | CallEffect::RefuseUpstream(_) => {}
            CallEffect::RespondUpstream(message) => self.told(id, &message),
            CallEffect::SettleUpstream(verdict) => {
                call.released |= !matches!(verdict, UpstreamVerdict::Failed { running: true, .. });
            }
            CallEffect::ResumeStream(failure) => {
                assert!(call.running, "nothing to resume");
                if !self.resumable {
                    return Some(CallEvent::UpstreamEnd(UpstreamEnd::Failed(failure)));
                }
            }
            CallEffect::HoldTimeouts => assert!(!std::mem::replace(&mut call.held, true)),
            CallEffect::ResumeTimeouts => assert!(std::mem::replace(&mut call.held, false)),
            CallEffect::CancelUpstream => {
                call.cancelled = true;
                (call.sent, call.running, call.waits) = (false, false, false);
            }
            CallEffect::SendClient(message) => {
                assert!(!call.gone, "the client is gone");
                self.said(id, &message);
            }
            CallEffect::AskClient(count) => {
                return Some(CallEvent::Registered(self.register(id, count)));
            }
            CallEffect::CloseElicitation(own) => {
                let proxy = call.proxy;
                self.proxies[proxy].elicitations.remove(&own.random);
            }
            CallEffect::Encrypt(content) => {
                return Some(CallEvent::Encrypted(self.encrypt(id, content)));
            }
            CallEffect::Suspend(reply) => return self.suspend(id, &reply),
            CallEffect::Finish(end) => self.finish_call(id, end),
        }
        None
    }

    /// The call goes to its server.
    fn send(&mut self, id: CallId, retry: Option<RetrySession>) {
        let call = self.calls.get_mut(&id).unwrap();
        assert!(
            !call.sent && !call.running && !call.waits,
            "sent while it runs"
        );
        (call.released, call.held) = (false, false);
        match (call.legacy, retry) {
            (false, _) | (true, Some(RetrySession::Same)) => call.sent = true,
            (true, None) => self.want_link(id),
            (true, Some(RetrySession::New)) => {
                call.waits = true;
                let (proxy, principal) = (call.proxy, principal_of(call.client));
                let (lost, waiter) = (call.link.clone().unwrap(), id);
                self.on_link(
                    proxy,
                    principal,
                    upstream_session::Event::Lost { lost, waiter },
                );
            }
        }
    }

    /// Registers elicitations; now and then there is no room.
    fn register(&mut self, id: CallId, count: usize) -> Vec<Option<ElicitationId>> {
        assert!((1..=MAX_PENDING).contains(&count));
        let call = &self.calls[&id];
        assert!(!call.gone && !call.drained, "the client cannot be asked");
        let (client, proxy) = (call.client, call.proxy);
        let session = self.session_of(client);
        let registered = (0..count).map(|_| {
            let random = self.random();
            if self.serial.is_multiple_of(17) {
                return None;
            }
            let waiting = Waiting {
                session,
                principal: principal_of(client),
                call: id,
                until: self.now.after(ANSWER_TIMEOUT),
            };
            let proxy = &mut self.proxies[proxy];
            proxy.elicitations.insert(random, waiting);
            let proxy = proxy.name.clone();
            Some(ElicitationId { proxy, random })
        });
        registered.collect()
    }

    fn encrypt(&mut self, id: CallId, content: EncryptionRequest) -> Option<String> {
        let (handle, nonce) = (self.random(), self.nonce());
        if self.serial.is_multiple_of(23) {
            return None;
        }
        let call = self.calls.get_mut(&id).unwrap();
        let request = call.plan.digest(&call.body).unwrap();
        let (client, proxy) = (call.client, call.proxy);
        call.handle = None;
        match content {
            EncryptionRequest::RequestState(literal) => {
                self.seen.insert("request state");
                assert_eq!(&*literal, "\"s\"");
                let until = self.now.after(REQUEST_STATE_LIFETIME);
                let state = EncryptedRequestState {
                    request,
                    until,
                    literal,
                };
                state.encrypt(&self.cipher, self.state_context(client), &nonce)
            }
            EncryptionRequest::UrlElicitation { number, urls } => {
                self.seen.insert("url elicitation");
                let elicitation = UrlElicitation {
                    request,
                    until: self.now.after(URL_ELICITATION_LIFETIME),
                    times: number,
                    pages: urls,
                };
                Some(elicitation.encrypt(&self.cipher, self.state_context(client), &nonce))
            }
            EncryptionRequest::Ticket => {
                self.seen.insert("ticket");
                call.handle = Some(handle);
                let owner = OwningProxy::new(self.proxies[proxy].name.clone(), None);
                let ticket = CallTicket {
                    handle,
                    request,
                    owner,
                };
                Some(ticket.encrypt(&self.cipher, self.state_context(client), &nonce))
            }
        }
    }

    /// The call is over: its request is answered, nothing of it is left, and nothing can follow.
    fn finish_call(&mut self, id: CallId, end: CallEnd) {
        let mut call = self.calls.remove(&id).unwrap();
        let waiting = &self.proxies[call.proxy].elicitations;
        let open = waiting.values().any(|waiting| waiting.call == id);
        assert!(!open, "an elicitation of a call that has ended");
        let forgotten = call.running && call.released;
        assert!(!forgotten, "the server runs a call that is not cancelled");
        match (&end, call.request) {
            (CallEnd::ClientResponse(reply), Some(request)) => {
                let body = reply.body.to_bytes();
                let expected = format!("\"c-{request}\"");
                assert_eq!(object::get(&body, "id"), Some(expected.as_bytes()));
                assert_eq!(call.told, call.progress, "the last progress is lost");
                self.keep_state(&call, reply);
            }
            (CallEnd::ClientResponse(_), None) => assert!(call.gone, "an answer to nothing"),
            (CallEnd::Cancelled, _) => assert!(call.cancelled, "not cancelled at its server"),
        }
        if let Some(request) = call.request {
            self.end(request, call.client, call.work);
        }
        let late = [
            CallEvent::Cancel,
            CallEvent::ClientDisconnected,
            CallEvent::Deadline,
            CallEvent::Drain,
            CallEvent::Encrypted(None),
            CallEvent::SuspensionRefused,
            CallEvent::UpstreamMessage("{}".into()),
            CallEvent::UpstreamEnd(UpstreamEnd::Failed(UpstreamFailure::Broken)),
            CallEvent::UpstreamHead(UpstreamHead::SessionEnded),
        ];
        for late in late {
            let after = call.machine.on(late, call.time(self.now));
            assert_eq!(after.into_iter().next(), None, "an effect after the end");
        }
    }

    /// A reply that wants its client to come back gives it a state; a good one is the server's answer to this work.
    pub fn keep_state(&mut self, call: &Call, reply: &ClientResponse) {
        let body = reply.body.to_bytes();
        let text = String::from_utf8_lossy(&body);
        if reply.outcome == CallOutcome::Done {
            let answer = format!("work {} for {}", call.work, principal_of(call.client));
            assert!(text.contains(&answer), "not theirs: {text}");
        }
        if reply.outcome != CallOutcome::InputRequired {
            return;
        }
        assert!(!is_legacy(call.client), "a legacy client cannot come back");
        let result = object::get(&body, "result").unwrap();
        let state = object::get(result, "requestState").unwrap();
        let requests = object::get(result, "inputRequests").unwrap();
        let signed = format!("for {}", principal_of(call.client));
        let theirs = |member: object::ObjectMember<'_>| {
            String::from_utf8_lossy(member.value).contains(&signed)
        };
        assert!(object::members(requests).all(theirs));
        let members = object::members(requests);
        self.states.push(ClientState {
            text: serde_json::from_slice(state).unwrap(),
            client: call.client,
            work: call.work,
            legacy: call.legacy,
            keys: members.map(|member| member.name.to_string()).collect(),
        });
    }

    /// The client of the call gets this ahead of the answer.
    fn said(&mut self, id: CallId, message: &[u8]) {
        let call = self.calls.get_mut(&id).unwrap();
        let client = call.client;
        let text = String::from_utf8_lossy(message);
        let params = object::get(message, "params").unwrap_or_default();
        if let Some(progress) = object::get(params, "progress") {
            let progress = std::str::from_utf8(progress).unwrap().parse().unwrap();
            let before = std::mem::replace(&mut call.told, progress);
            assert!(before < progress, "progress goes back");
        }
        let Some(own) = object::get(message, "id") else {
            return;
        };
        assert!(is_legacy(client), "a modern client is asked in its answer");
        let expected = format!("[{}] for {}", self.server_of(id), principal_of(client));
        assert!(text.contains(&expected), "{text}");
        let own = ElicitationId::parse(std::str::from_utf8(own).unwrap()).unwrap();
        assert!(self.asked.iter().all(|(known, _)| *known != own));
        self.asked.push((own, client));
    }

    fn server_of(&self, id: CallId) -> &'static str {
        if self.calls[&id].legacy {
            "files"
        } else {
            "notes"
        }
    }

    /// The server of the call gets this answer to its request.
    fn told(&mut self, id: CallId, message: &[u8]) {
        let call = self.calls.get_mut(&id).unwrap();
        assert!(call.legacy, "modern servers are called again");
        let asked = std::str::from_utf8(object::get(message, "id").unwrap()).unwrap();
        let awaited = call.awaited.remove(&asked.parse().unwrap());
        assert!(awaited, "a request was answered twice");
        if let Some(result) = object::get(message, "result") {
            let by = principal_of(call.client).to_string();
            assert_eq!(object::get(result, "by"), Some(by.as_bytes()));
        }
    }

    /// Creates the machine of a call.
    pub fn machine(call: &toolgate_data_core::plan::CallPlan) -> CallMachine {
        let plan = std::sync::Arc::new(call.clone());
        let log_level = plan.effective_log_level(None);
        CallMachine::new(CallOptions {
            plan,
            log_level,
            client_until: None,
        })
    }
}

/// Every kind of effect, and what else the steps have to reach.
pub const RESOURCE_CONSTRUCTORS: [&str; 21] = [
    "ask client",
    "cancel upstream",
    "close elicitation",
    "finish",
    "hold timeouts",
    "suspend",
    "probe session",
    "refuse upstream",
    "request state",
    "respond upstream",
    "resume stream",
    "resume timeouts",
    "continued",
    "retry",
    "round",
    "encrypt",
    "send client",
    "send upstream",
    "sent again by the client",
    "settle upstream",
    "ticket",
];

fn name(effect: &CallEffect) -> &'static str {
    match effect {
        CallEffect::SendUpstream(_) => "send upstream",
        CallEffect::Retry(_) => "retry",
        CallEffect::ProbeSession => "probe session",
        CallEffect::ProbeSessionLater(_) => "probe session later",
        CallEffect::DiscardSession => "discard session",
        CallEffect::RespondUpstream(_) => "respond upstream",
        CallEffect::RefuseUpstream(_) => "refuse upstream",
        CallEffect::SettleUpstream(_) => "settle upstream",
        CallEffect::ResumeStream(_) => "resume stream",
        CallEffect::HoldTimeouts => "hold timeouts",
        CallEffect::ResumeTimeouts => "resume timeouts",
        CallEffect::CancelUpstream => "cancel upstream",
        CallEffect::SendClient(_) => "send client",
        CallEffect::AskClient(_) => "ask client",
        CallEffect::CloseElicitation(_) => "close elicitation",
        CallEffect::Encrypt(_) => "encrypt",
        CallEffect::Suspend(_) => "suspend",
        CallEffect::Finish(_) => "finish",
    }
}
