//! The state machine of one call. It owns every decision between the first request and the answer: what goes to the
//! server, what goes to the client, when the call is sent again, suspended, cancelled or over. The relay
//! ([`ResponseRelay`]) rewrites the messages; the driver in `data-plane/src/call` does the IO.

mod client;
mod conversation;
mod upstream;

use std::{sync::Arc, time::Duration};

use toolgate_model::{Era, Timestamp};

use super::{
    effect::{CallEffect, CallEffects, CallEnd},
    elicitation::{Elicitation, ElicitationEvent},
    event::{BodyKind, CallEvent, CallTime, UpstreamEnd},
    notification_limiter::LimitedNotification,
    retry::{RetryPolicy, refusal_to_probe},
    verdict::{UpstreamVerdict, may_be_running},
};
use crate::{
    plan::CallPlan,
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, ClientResponse, ResponseRelay, ServerNotification, failure_response},
    session::LogLevel,
};
use conversation::ConversationState;

/// State machine of one call.
#[derive(Debug)]
pub struct CallMachine {
    relay: ResponseRelay,
    phase: CallPhase,
    retry: RetryPolicy,
    /// Number of URL elicitations of the call so far.
    url_elicitations: u8,
    /// `false` once the client has closed the stream of the call.
    client_connected: bool,
    draining: bool,
    /// Status of the response to a call in a session that the server had assigned; `None` outside of a session.
    session_status: Option<u16>,
    client_until: Option<Timestamp>,
    /// State of a call whose answer takes more than one message: most calls have none.
    conversation: Option<Box<ConversationState>>,
}

/// Parts of a [`CallMachine`].
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Plan of the request.
    pub plan: Arc<CallPlan>,
    /// Minimum severity of log messages that the client gets.
    pub log_level: Option<LogLevel>,
    /// Time at which the credential of the client expires.
    pub client_until: Option<Timestamp>,
}

/// Event that the call waits for.
#[derive(Debug)]
enum CallPhase {
    /// The head of a response.
    Sending,
    /// The result of a session probe. The head of a response that may concern the session is held back; there is none if
    /// nothing was sent.
    Probing(Option<ResponseHead>),
    /// The rest of a JSON document; `invalid` explains a document without an answer.
    Document { invalid: UpstreamFailure },
    /// Messages of a stream.
    Streaming,
    /// Answers of the client to a round.
    AwaitingClient,
    /// An encrypted text.
    Encryption(PendingEncryption),
    /// The client of a suspended call.
    Suspended,
    /// Nothing: the call is over.
    Finished,
}

/// Head of a response.
#[derive(Debug, Clone, Copy)]
struct ResponseHead {
    id: u64,
    status: u16,
    body: BodyKind,
}

/// Purpose of a text that is being encrypted.
#[derive(Debug)]
enum PendingEncryption {
    RequestState { invalid: UpstreamFailure },
    UrlElicitation(Vec<Elicitation>),
    Ticket,
}

impl CallMachine {
    /// Creates the machine of a call that was not sent yet.
    pub fn new(options: CallOptions) -> Self {
        let CallOptions {
            plan,
            log_level,
            client_until,
        } = options;
        let era = match plan.server().era {
            Some(Era::Modern) => Era::Modern,
            Some(Era::Legacy) | None => Era::Legacy,
        };
        let url_elicitations = plan.url_elicitation_result.map_or(0, |result| result.times);
        Self {
            relay: ResponseRelay::new(plan, era, 0, log_level),
            phase: CallPhase::Sending,
            retry: RetryPolicy::default(),
            url_elicitations,
            client_connected: true,
            draining: false,
            session_status: None,
            client_until,
            conversation: None,
        }
    }

    /// Begins the call: sends it, unless the user declined a URL that the server insists on.
    pub fn start(&mut self) -> CallEffects {
        let mut out = CallEffects::default();
        let url_elicitation_result = self.relay.call().url_elicitation_result;
        if url_elicitation_result.is_some_and(|result| result.declined) {
            let reply = self.relay.fail(UpstreamFailure::InputNotGiven);
            self.finish(CallEnd::ClientResponse(reply), &mut out);
        } else {
            out.push(CallEffect::SendUpstream(None));
        }
        out
    }

    /// Applies an event. After [`CallEffect::Finish`] all events are ignored.
    pub fn on(&mut self, event: CallEvent, now: CallTime) -> CallEffects {
        let mut out = CallEffects::default();
        if let CallPhase::Finished = self.phase {
            return out;
        }
        match event {
            CallEvent::UpstreamHead(head) => self.on_upstream_head(head, &mut out),
            CallEvent::UpstreamMessage(message) => {
                self.on_upstream_message(&message, now, &mut out)
            }
            CallEvent::UpstreamEnd(end) => self.on_upstream_end(end, &mut out),
            CallEvent::SessionProbed(ping) => self.on_session_probed(ping, &mut out),
            CallEvent::Registered(ids) => self.on_registered(ids, now, &mut out),
            CallEvent::Encrypted(text) => self.on_encrypted(text.as_deref(), &mut out),
            CallEvent::SuspensionRefused => self.on_suspension_refused(&mut out),
            CallEvent::Continued(continued) => self.on_continued(continued, &mut out),
            CallEvent::ElicitationResponse(id, frame) => {
                self.elicitation(ElicitationEvent::Answered(id, frame), now, &mut out);
            }
            CallEvent::ClientDisconnected => self.on_client_disconnected(now, &mut out),
            CallEvent::Cancel => self.cancel(&mut out),
            CallEvent::Deadline => self.on_deadline(now, &mut out),
            CallEvent::Drain => {
                self.draining = true;
                self.elicitation(ElicitationEvent::Drain, now, &mut out);
            }
        }
        out
    }

    /// Returns how long after `now` [`CallEvent::Deadline`] is due; `None` if nothing is. The event handles
    /// all that is due, so that nothing is due after it.
    pub fn wait(&self, now: CallTime) -> Option<Duration> {
        let conversation = self.conversation.as_ref()?;
        let paced = conversation.wait_for_pace(now).filter(|_| self.is_paced());
        let answers = conversation.wait_for_answers(now);
        paced.into_iter().chain(answers).min()
    }

    /// Reports if notifications and rounds that are held back go out when they are due. While a text is encrypted and while
    /// the call is suspended, they wait for the next stream.
    fn is_paced(&self) -> bool {
        match self.phase {
            CallPhase::Sending
            | CallPhase::Probing(_)
            | CallPhase::Document { .. }
            | CallPhase::Streaming
            | CallPhase::AwaitingClient => true,
            CallPhase::Encryption(_) | CallPhase::Suspended | CallPhase::Finished => false,
        }
    }

    /// Returns the plan of the call.
    pub fn plan(&self) -> &Arc<CallPlan> {
        self.relay.call()
    }

    /// Reports if the response is one document that is read to its end.
    pub fn reads_document(&self) -> bool {
        matches!(self.phase, CallPhase::Document { .. })
    }

    /// Returns the number of elicitations that wait for answers of the client.
    pub fn pending_elicitations(&self) -> usize {
        let conversation = self.conversation.as_ref();
        conversation.map_or(0, |conversation| conversation.pending.pending())
    }

    /// Returns [`CallPlan::outlives_stream`] of the call.
    pub fn outlives_stream(&self) -> bool {
        self.relay.call().outlives_stream()
    }

    fn conversation(&mut self) -> &mut ConversationState {
        let (relay, until) = (&self.relay, self.client_until);
        self.conversation.get_or_insert_with(|| {
            let server = relay.call().server().name.id.clone();
            Box::new(ConversationState::new(server, until))
        })
    }

    fn on_upstream_end(&mut self, end: UpstreamEnd, out: &mut CallEffects) {
        match (&self.phase, end) {
            (CallPhase::Streaming, UpstreamEnd::Interrupted(failure)) => {
                out.push(CallEffect::ResumeStream(failure));
            }
            (CallPhase::Streaming, UpstreamEnd::Failed(failure)) => {
                self.fail(failure, UpstreamFailure::Malformed, out)
            }
            (
                CallPhase::Document { invalid },
                UpstreamEnd::Interrupted(failure) | UpstreamEnd::Failed(failure),
            ) => self.fail(failure, *invalid, out),
            (
                CallPhase::Sending
                | CallPhase::Probing(_)
                | CallPhase::AwaitingClient
                | CallPhase::Encryption(_)
                | CallPhase::Suspended
                | CallPhase::Finished,
                UpstreamEnd::Interrupted(_) | UpstreamEnd::Failed(_),
            ) => {}
        }
    }

    fn fail(&mut self, failure: UpstreamFailure, invalid: UpstreamFailure, out: &mut CallEffects) {
        let reply = self.relay.fail(failure);
        self.conclude(reply, invalid, out);
    }

    /// Ends the call with an answer of the server, or for want of one. A body that is no answer is explained by `invalid`,
    /// as the status has it.
    fn conclude(&mut self, reply: ClientResponse, invalid: UpstreamFailure, out: &mut CallEffects) {
        let running = |failure| !self.relay.is_answered() && may_be_running(failure);
        let (verdict, reply) = match reply.outcome {
            CallOutcome::Failed(malformed @ UpstreamFailure::Malformed) => {
                let running = running(malformed);
                // A request that the server rejects does not count against its health, a fault of its own does.
                let fault = [
                    UpstreamFailure::ServerError,
                    UpstreamFailure::Timeout,
                    UpstreamFailure::Loop,
                ];
                let failure = if fault.contains(&invalid) {
                    invalid
                } else {
                    malformed
                };
                let reply = if invalid == malformed {
                    reply
                } else {
                    failure_response(self.relay.call(), invalid)
                };
                (UpstreamVerdict::Failed { failure, running }, reply)
            }
            CallOutcome::Failed(failure) => {
                let running = running(failure);
                (UpstreamVerdict::Failed { failure, running }, reply)
            }
            CallOutcome::Done
            | CallOutcome::ToolError
            | CallOutcome::InputRequired
            | CallOutcome::Error => (UpstreamVerdict::Answered, reply),
        };
        out.push(CallEffect::SettleUpstream(verdict));
        let is_answered = matches!(verdict, UpstreamVerdict::Answered);
        let error = self.relay.error_code();
        if let Some(status) = self.session_status
            && let Some(refusal) = refusal_to_probe(status, is_answered, error)
        {
            out.push(CallEffect::ProbeSessionLater(refusal));
        }
        self.finish(CallEnd::ClientResponse(reply), out);
    }

    /// Cancels the call at its server and ends it without an answer.
    fn cancel(&mut self, out: &mut CallEffects) {
        out.push(CallEffect::CancelUpstream);
        self.finish(CallEnd::Cancelled, out);
    }

    fn finish(&mut self, end: CallEnd, out: &mut CallEffects) {
        self.phase = CallPhase::Finished;
        if let CallEnd::ClientResponse(_) = end {
            self.flush(out);
        }
        if let Some(conversation) = &mut self.conversation {
            let closed = conversation.pending.close_all();
            closed.for_each(|id| out.push(CallEffect::CloseElicitation(id)));
        }
        out.push(CallEffect::Finish(end));
    }

    /// Sends the notifications that were held back: the answer follows.
    fn flush(&mut self, out: &mut CallEffects) {
        if let Some(conversation) = &mut self.conversation {
            let held = conversation.limiter.flush();
            self.notify(held, out);
        }
    }

    fn notify(
        &self,
        notifications: impl IntoIterator<Item = LimitedNotification<ServerNotification>>,
        out: &mut CallEffects,
    ) {
        for notification in notifications {
            let message = match notification {
                LimitedNotification::Progress(notice) => self.relay.render(&notice),
                LimitedNotification::Message(message) => Some(message),
            };
            if let Some(message) = message {
                self.send_client(message, out);
            }
        }
    }

    /// Sends a message ahead of the answer, as long as there is a stream to send it on.
    fn send_client(&self, message: bytes::Bytes, out: &mut CallEffects) {
        if self.client_connected {
            out.push(CallEffect::SendClient(message));
        }
    }
}

#[cfg(test)]
mod tests;
