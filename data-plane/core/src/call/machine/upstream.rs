//! The server's side of a call: heads, messages, retries.

use bytes::Bytes;

use super::{
    CallMachine, CallPhase, PendingEncryption, ResponseHead,
    conversation::{ConversationState, PendingRegistration},
};
use crate::{
    call::{
        effect::{CallEffect, CallEffects, CallEnd, EncryptionRequest},
        elicitation::{Elicitation, ElicitationEvent},
        event::{BodyKind, CallTime, UpstreamHead},
        notification_limiter::LimitedNotification,
        retry::{
            PingOutcome, ProbeStep, RetrySession, RetryStep, SessionRefusal, SessionVerdict,
            may_refuse_session, refusal_to_probe, session_verdict,
        },
        url_elicitation::MAX_URL_ELICITATIONS,
        verdict::{self, UpstreamVerdict, may_be_running},
    },
    refusal::UpstreamFailure,
    rewrite::{IncompleteResponse, InputRequirement, RelayAction, url_elicitation_response},
};

impl CallMachine {
    pub(super) fn on_upstream_head(&mut self, head: UpstreamHead, out: &mut CallEffects) {
        if !matches!(self.phase, CallPhase::Sending) {
            return;
        }
        match head {
            UpstreamHead::Failed { failure, retryable } => {
                let running = may_be_running(failure);
                out.push(CallEffect::SettleUpstream(UpstreamVerdict::Failed {
                    failure,
                    running,
                }));
                let step = match retryable {
                    true => self.retry.retry_unsent(),
                    false => RetryStep::Fail(failure),
                };
                self.step(step, out);
            }
            UpstreamHead::SessionEnded => self.probe_session(None, out),
            UpstreamHead::Response {
                id,
                status,
                in_session,
                body,
            } => {
                self.session_status = in_session.then_some(status);
                let head = ResponseHead { id, status, body };
                if may_refuse_session(status, in_session) {
                    self.probe_session(Some(head), out);
                } else {
                    self.on_response_head(head, out);
                }
            }
        }
    }

    fn probe_session(&mut self, refused: Option<ResponseHead>, out: &mut CallEffects) {
        self.phase = CallPhase::Probing(refused);
        out.push(CallEffect::ProbeSession);
    }

    pub(super) fn on_session_probed(&mut self, ping: PingOutcome, out: &mut CallEffects) {
        let CallPhase::Probing(refused) = self.phase else {
            return;
        };
        // Without a response nothing was sent: the session had been lost before.
        let verdict = refused.map_or(SessionVerdict::NotExecuted, |head| {
            session_verdict(SessionRefusal::Status(head.status), ping)
        });
        let step = self.retry.retry_after_ping(verdict);
        match (step, refused) {
            (ProbeStep::Continue, Some(head)) => self.on_response_head(head, out),
            (ProbeStep::Discard, Some(head)) => {
                out.push(CallEffect::DiscardSession);
                self.on_response_head(head, out);
            }
            (ProbeStep::Replace, refused) => {
                if refused.is_some() {
                    out.push(CallEffect::SettleUpstream(UpstreamVerdict::Answered));
                }
                self.step(RetryStep::Retry(RetrySession::New), out);
            }
            (ProbeStep::Fail | ProbeStep::Continue | ProbeStep::Discard, refused) => {
                if refused.is_some() {
                    out.push(CallEffect::SettleUpstream(UpstreamVerdict::Answered));
                }
                out.push(CallEffect::DiscardSession);
                self.step(RetryStep::Fail(UpstreamFailure::SessionLost), out);
            }
        }
    }

    fn on_response_head(&mut self, head: ResponseHead, out: &mut CallEffects) {
        let ResponseHead { id, status, body } = head;
        match verdict::of_head(status, body) {
            Some(failure) => {
                let running = may_be_running(failure);
                out.push(CallEffect::SettleUpstream(UpstreamVerdict::Failed {
                    failure,
                    running,
                }));
                let status = self.session_status;
                let refusal = status.and_then(|status| refusal_to_probe(status, false, None));
                if let Some(refusal) = refusal {
                    out.push(CallEffect::ProbeSessionLater(refusal));
                }
                self.step(RetryStep::Fail(failure), out);
            }
            None => self.response(id, verdict::of_invalid_body(status), body, out),
        }
    }

    /// Goes on after an attempt without a usable response.
    fn step(&mut self, step: RetryStep, out: &mut CallEffects) {
        match step {
            RetryStep::Retry(session) => {
                self.phase = CallPhase::Sending;
                out.push(CallEffect::Retry(session));
            }
            RetryStep::Fail(failure) => {
                let reply = self.relay.fail(failure);
                self.finish(CallEnd::ClientResponse(reply), out);
            }
        }
    }

    fn response(
        &mut self,
        id: u64,
        invalid: UpstreamFailure,
        body: BodyKind,
        out: &mut CallEffects,
    ) {
        self.relay.set_upstream_id(id);
        match body {
            BodyKind::Document => self.phase = CallPhase::Document { invalid },
            BodyKind::Stream => {
                self.phase = CallPhase::Streaming;
                // Most streams hold the answer alone: they need no state.
                if let Some(conversation) = &mut self.conversation {
                    conversation.timeouts_held = false;
                }
            }
            BodyKind::Empty => self.fail(UpstreamFailure::Malformed, invalid, out),
            BodyKind::Other => {
                // The server is done with the request in any case.
                let failure = UpstreamFailure::Malformed;
                let running = false;
                out.push(CallEffect::SettleUpstream(UpstreamVerdict::Failed {
                    failure,
                    running,
                }));
                self.step(RetryStep::Fail(invalid), out);
            }
        }
    }

    pub(super) fn on_upstream_message(
        &mut self,
        message: &Bytes,
        now: CallTime,
        out: &mut CallEffects,
    ) {
        match self.phase {
            CallPhase::Document { invalid } => match self.relay.on_single_response(message) {
                Ok(reply) => self.conclude(reply, invalid, out),
                Err(IncompleteResponse::InputRequired(required)) => self.round(required, now, out),
                Err(IncompleteResponse::EncryptState(state)) => {
                    self.request_state(state, invalid, out)
                }
                Err(IncompleteResponse::UrlElicitation(urls)) => self.url_elicitation(urls, out),
            },
            CallPhase::Streaming => self.on_streamed_message(message, now, out),
            CallPhase::Sending
            | CallPhase::Probing(_)
            | CallPhase::AwaitingClient
            | CallPhase::Encryption(_)
            | CallPhase::Suspended
            | CallPhase::Finished => {}
        }
    }

    fn on_streamed_message(&mut self, message: &Bytes, now: CallTime, out: &mut CallEffects) {
        match self.relay.on(message) {
            RelayAction::Final(reply) => self.conclude(reply, UpstreamFailure::Malformed, out),
            RelayAction::Progress(notice) => {
                let limiter = &mut self.conversation().limiter;
                let passed = limiter.progress(notice, now.elapsed);
                self.notify(passed.map(LimitedNotification::Progress), out);
            }
            RelayAction::Log(level, notice) => {
                self.conversation();
                let (relay, conversation) = (&self.relay, &mut self.conversation);
                let limiter = conversation.as_mut().map(|state| &mut state.limiter);
                let passed = limiter
                    .map(|limiter| limiter.log(level, || relay.render(&notice), now.elapsed));
                self.notify(passed.into_iter().flatten(), out);
            }
            RelayAction::Forward(message) => self.send_client(message, out),
            RelayAction::LocalReply(message) => out.push(CallEffect::RefuseUpstream(message)),
            RelayAction::ServerRequest(id, elicitation) => {
                self.on_server_request(id, elicitation, now, out)
            }
            RelayAction::Cancelled(id) => {
                self.conversation().batcher.remove(&id);
                self.elicitation(ElicitationEvent::Withdrawn(id), now, out);
            }
            RelayAction::InputRequired(required) => self.round(required, now, out),
            RelayAction::EncryptState(state) => {
                self.request_state(state, UpstreamFailure::Malformed, out)
            }
            RelayAction::UrlElicitation(urls) => self.url_elicitation(urls, out),
            RelayAction::Ignore => {}
        }
    }

    /// A legacy server sent a request for the client.
    fn on_server_request(
        &mut self,
        id: Box<str>,
        elicitation: Elicitation,
        now: CallTime,
        out: &mut CallEffects,
    ) {
        if !self.outlives_stream() {
            let batcher = &mut self.conversation().batcher;
            if let Some(round) = batcher.add(id, elicitation, now.elapsed) {
                self.suspend(round, out);
            }
            return;
        }
        if self.can_ask() {
            self.conversation().registering = Some(PendingRegistration::Request(id, elicitation));
            out.push(CallEffect::AskClient(1));
        } else {
            // Refuses the request.
            self.conversation();
            let own = None;
            let event = ElicitationEvent::Requested {
                id,
                elicitation,
                own,
            };
            self.elicitation(event, now, out);
        }
    }

    /// A modern server answered for now: it requires answers of its legacy client, and is called again with them.
    fn round(&mut self, required: InputRequirement, now: CallTime, out: &mut CallEffects) {
        let InputRequirement { requests, state } = required;
        // What the server told before this answer goes ahead of its requests.
        self.flush(out);
        out.push(CallEffect::SettleUpstream(UpstreamVerdict::Resting));
        self.phase = CallPhase::AwaitingClient;
        self.conversation().request_state = state;
        if self.can_ask() && !requests.is_empty() {
            let count = requests.len();
            self.conversation().registering = Some(PendingRegistration::Round(requests));
            out.push(CallEffect::AskClient(count));
        } else {
            let round = requests.into_iter();
            let round = round.map(|(key, elicitation)| (key, elicitation, None));
            let event = ElicitationEvent::RoundRequested(round.collect());
            self.elicitation(event, now, out);
        }
    }

    fn can_ask(&self) -> bool {
        let registering = |conversation: &ConversationState| conversation.registering.is_some();
        let is_registering = self.conversation.as_deref().is_some_and(registering);
        self.client_connected && !self.draining && !is_registering
    }

    /// A modern server gave its modern client a state to come back with.
    fn request_state(&mut self, state: Box<str>, invalid: UpstreamFailure, out: &mut CallEffects) {
        self.phase = CallPhase::Encryption(PendingEncryption::RequestState { invalid });
        out.push(CallEffect::Encrypt(EncryptionRequest::RequestState(state)));
    }

    /// A legacy server did not run the call of a modern client: the user has to visit these URLs first. After too many
    /// of them the client gets the URLs as text.
    fn url_elicitation(&mut self, urls: Vec<Elicitation>, out: &mut CallEffects) {
        out.push(CallEffect::SettleUpstream(UpstreamVerdict::Answered));
        let count = u8::try_from(urls.len()).ok();
        match count.filter(|_| self.url_elicitations < MAX_URL_ELICITATIONS) {
            Some(count) => {
                let number = self.url_elicitations.saturating_add(1);
                self.phase = CallPhase::Encryption(PendingEncryption::UrlElicitation(urls));
                let urls = count;
                out.push(CallEffect::Encrypt(EncryptionRequest::UrlElicitation {
                    number,
                    urls,
                }));
            }
            None => {
                let reply = url_elicitation_response(self.relay.call(), &urls);
                self.finish(CallEnd::ClientResponse(reply), out);
            }
        }
    }
}
