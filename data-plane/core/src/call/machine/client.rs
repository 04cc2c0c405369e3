//! The client's side of a call: elicitations, suspension, departure.

use toolgate_mcp::{RpcError, message, object};

use super::{
    CallMachine, CallPhase, PendingEncryption,
    conversation::{PendingRegistration, SuspendedElicitation},
};
use crate::{
    call::{
        batcher::ElicitationRound,
        effect::{CallEffect, CallEffects, CallEnd, EncryptionRequest},
        elicitation::{ElicitationEvent, ElicitationId, ElicitationOutput},
        event::{CallTime, ContinuedCall},
        retry::{InputResponses, RetryPolicy},
        url_elicitation::key,
    },
    refusal::UpstreamFailure,
    rewrite::{input_required, url_elicitation_response},
};

impl CallMachine {
    /// Elicitations got their ids.
    pub(super) fn on_registered(
        &mut self,
        ids: Vec<Option<ElicitationId>>,
        now: CallTime,
        out: &mut CallEffects,
    ) {
        let conversation = self.conversation.as_mut();
        let registering = conversation.and_then(|conversation| conversation.registering.take());
        let mut ids = ids.into_iter();
        let event = match registering {
            Some(PendingRegistration::Request(id, elicitation)) => ElicitationEvent::Requested {
                id,
                elicitation,
                own: ids.next().flatten(),
            },
            Some(PendingRegistration::Round(requests)) => {
                let round = requests.into_iter();
                let round = round.map(|(key, elicitation)| {
                    let own = ids.next().flatten();
                    (key, elicitation, own)
                });
                ElicitationEvent::RoundRequested(round.collect())
            }
            None => {
                let unused = ids.flatten();
                unused.for_each(|id| out.push(CallEffect::CloseElicitation(id)));
                return;
            }
        };
        self.elicitation(event, now, out);
    }

    /// Applies an event to the elicitations of a legacy client.
    pub(super) fn elicitation(
        &mut self,
        event: ElicitationEvent,
        now: CallTime,
        out: &mut CallEffects,
    ) {
        let Some(conversation) = &mut self.conversation else {
            return;
        };
        let outputs = conversation.pending.on(event, now.wall);
        for output in outputs {
            match output {
                ElicitationOutput::SendClient(message) => self.send_client(message, out),
                ElicitationOutput::Respond(message) => {
                    out.push(CallEffect::RespondUpstream(message))
                }
                ElicitationOutput::Close(id) => out.push(CallEffect::CloseElicitation(id)),
                ElicitationOutput::SendRound(responses) => self.send_round(responses, out),
                ElicitationOutput::Fail => {
                    return self.fail(
                        UpstreamFailure::InputNotGiven,
                        UpstreamFailure::Malformed,
                        out,
                    );
                }
            }
        }
        let waits = self.pending_elicitations() > 0;
        self.hold_timeouts(waits, out);
    }

    /// Sends the call again: a round is complete.
    fn send_round(&mut self, responses: Option<bytes::Bytes>, out: &mut CallEffects) {
        let state = self.conversation().request_state.take();
        self.phase = CallPhase::Sending;
        self.retry = RetryPolicy::default();
        let input_responses = InputResponses { responses, state };
        out.push(CallEffect::SendUpstream(Some(input_responses)));
    }

    /// The time that the client takes does not count as the server's.
    fn hold_timeouts(&mut self, hold: bool, out: &mut CallEffects) {
        let streaming = matches!(self.phase, CallPhase::Streaming | CallPhase::Encryption(_));
        let Some(conversation) = self.conversation.as_mut().filter(|_| streaming) else {
            return;
        };
        if std::mem::replace(&mut conversation.timeouts_held, hold) != hold {
            out.push(match hold {
                true => CallEffect::HoldTimeouts,
                false => CallEffect::ResumeTimeouts,
            });
        }
    }

    /// Asks a modern client for the answers that its legacy server waits for: the call stays open at the server.
    pub(super) fn suspend(&mut self, round: ElicitationRound, out: &mut CallEffects) {
        self.flush(out);
        self.conversation().suspend(round);
        self.encrypt_ticket(out);
    }

    fn encrypt_ticket(&mut self, out: &mut CallEffects) {
        self.phase = CallPhase::Encryption(PendingEncryption::Ticket);
        self.hold_timeouts(true, out);
        out.push(CallEffect::Encrypt(EncryptionRequest::Ticket));
    }

    pub(super) fn on_encrypted(&mut self, text: Option<&str>, out: &mut CallEffects) {
        if !matches!(self.phase, CallPhase::Encryption(_)) {
            return;
        }
        match std::mem::replace(&mut self.phase, CallPhase::Suspended) {
            CallPhase::Encryption(PendingEncryption::Ticket) => self.ticket_encrypted(text, out),
            CallPhase::Encryption(PendingEncryption::RequestState { invalid }) => {
                let reply = self.relay.respond_with_encrypted_state(text);
                self.conclude(reply, invalid, out);
            }
            CallPhase::Encryption(PendingEncryption::UrlElicitation(urls)) => {
                let plan = self.relay.call();
                let reply = match text {
                    Some(state) => {
                        let keys: Vec<String> = (1..).map(key).take(urls.len()).collect();
                        let requests = keys.iter().map(|key| &**key).zip(&urls);
                        input_required(plan, requests, state)
                    }
                    None => url_elicitation_response(plan, &urls),
                };
                self.finish(CallEnd::ClientResponse(reply), out);
            }
            CallPhase::Sending
            | CallPhase::Probing(_)
            | CallPhase::Document { .. }
            | CallPhase::Streaming
            | CallPhase::AwaitingClient
            | CallPhase::Suspended
            | CallPhase::Finished => {}
        }
    }

    fn ticket_encrypted(&mut self, text: Option<&str>, out: &mut CallEffects) {
        let (Some(state), Some(conversation)) = (text, &self.conversation) else {
            return self.on_suspension_refused(out);
        };
        let requests = conversation.suspended.iter();
        let requests = requests.map(|entry| (&*entry.key, &entry.elicitation));
        let reply = input_required(self.relay.call(), requests, state);
        out.push(CallEffect::Suspend(reply));
    }

    /// The call cannot be suspended: its server hears that the client cannot be asked, and goes on.
    pub(super) fn on_suspension_refused(&mut self, out: &mut CallEffects) {
        let (CallPhase::Suspended, Some(conversation)) = (&self.phase, &mut self.conversation)
        else {
            return;
        };
        let error = RpcError::internal("the client cannot be asked now");
        for entry in conversation.suspended.drain(..) {
            out.push(CallEffect::RespondUpstream(error.to_bytes(Some(&entry.id))));
        }
        self.phase = CallPhase::Streaming;
        self.hold_timeouts(false, out);
    }

    /// The client came back: the server gets the answers. The client is asked again for what it did not answer.
    pub(super) fn on_continued(&mut self, continued: ContinuedCall, out: &mut CallEffects) {
        let (CallPhase::Suspended, Some(conversation)) = (&self.phase, &mut self.conversation)
        else {
            return;
        };
        let ContinuedCall {
            plan,
            log_level,
            responses,
        } = continued;
        self.relay.continue_with(plan, log_level);
        self.client_connected = true;
        let mut open = Vec::new();
        for entry in std::mem::take(&mut conversation.suspended) {
            match answer(&entry, &responses) {
                Some(response) => out.push(CallEffect::RespondUpstream(response)),
                None => open.push(entry),
            }
        }
        if open.is_empty() {
            self.phase = CallPhase::Streaming;
            return self.hold_timeouts(false, out);
        }
        conversation.suspended = open;
        self.encrypt_ticket(out);
    }

    /// The client closed the stream of the call. In the modern era this cancels the call.
    pub(super) fn on_client_disconnected(&mut self, now: CallTime, out: &mut CallEffects) {
        if !self.outlives_stream() {
            return self.cancel(out);
        }
        self.client_connected = false;
        if let Some(conversation) = &mut self.conversation {
            conversation.pending.on_client_disconnected(now.wall);
        }
    }

    /// Handles all that is due at `now`.
    pub(super) fn on_deadline(&mut self, now: CallTime, out: &mut CallEffects) {
        self.elicitation(ElicitationEvent::Tick, now, out);
        let is_paced = self.is_paced();
        if let Some(conversation) = self.conversation.as_mut().filter(|_| is_paced) {
            let due = conversation.limiter.take_due(now.elapsed);
            let round = conversation.batcher.take_due(now.elapsed);
            self.notify(due, out);
            if let Some(round) = round {
                self.suspend(round, out);
            }
        }
    }
}

/// Builds the response to a request of the server from `inputResponses`, if they answer it.
fn answer(entry: &SuspendedElicitation, responses: &[u8]) -> Option<bytes::Bytes> {
    let answer = object::get(responses, &entry.key)?;
    let answer = String::from_utf8_lossy(answer);
    Some(message::response(&entry.id, &answer))
}
