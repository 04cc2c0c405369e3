//! Elicitations of one call: requests that its server sends to a legacy client. Each goes out under an id of the
//! gateway and gets exactly one answer. A legacy server sends them one by one and is answered one by one. A modern
//! server sends a round, and its call is sent again when the whole round is answered.

mod request;
mod secret_fields;

use std::time::Duration;

use bytes::Bytes;
use toolgate_mcp::{RpcError, error::codes, message, object, text::quote};
use toolgate_model::{Slug, Timestamp};

use request::ElicitationResponse;
pub use request::{Elicitation, ElicitationId, ElicitationKind, MAX_SIZE};

/// Maximum number of elicitations of one call that wait for answers.
pub const MAX_PENDING: usize = 16;

/// Maximum number of rounds that a modern server may request in one call.
pub const MAX_ROUNDS: usize = 10;

/// Time that a client, and its user, has to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Time that remains for an answer after the stream of the call has ended. The answer may be in flight in a request of
/// its own.
pub const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Input of [`PendingElicitations`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ElicitationEvent {
    /// A legacy server sent a request.
    Requested {
        /// Id of the request, as the server wrote it.
        id: Box<str>,
        elicitation: Elicitation,
        /// Id under which the client answers; `None` if the client cannot be asked.
        own: Option<ElicitationId>,
    },
    /// A legacy server withdrew its request of this id, as written.
    Withdrawn(Box<str>),
    /// A modern server requested a round: key, elicitation and own id of each.
    RoundRequested(Vec<(Box<str>, Elicitation, Option<ElicitationId>)>),
    /// The client answered with this frame.
    Answered(ElicitationId, Bytes),
    /// Time passed.
    Tick,
    /// The proxy drains: no answer is waited for any more.
    Drain,
}

/// Output of [`PendingElicitations`], to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ElicitationOutput {
    /// Send this message to the client.
    SendClient(Bytes),
    /// Answer a request of the legacy server with this message.
    Respond(Bytes),
    /// This elicitation waits for no answer any more.
    Close(ElicitationId),
    /// The round is complete: send the call again with this `inputResponses`; `None` if nothing was requested.
    SendRound(Option<Bytes>),
    /// The round cannot be completed: end the call.
    Fail,
}

/// Elicitations of one call that wait for answers.
#[derive(Debug)]
pub(super) struct PendingElicitations {
    server: Slug,
    pending: Vec<PendingEntry>,
    /// Answers of the current round so far.
    answers: Vec<(Box<str>, Bytes)>,
    rounds: usize,
    /// Time at which the credential of the client expires.
    client_until: Option<Timestamp>,
}

#[derive(Debug)]
struct PendingEntry {
    own: ElicitationId,
    origin: RequestOrigin,
    until: Timestamp,
}

#[derive(Debug)]
enum RequestOrigin {
    /// A request of a legacy server under this id.
    Request(Box<str>),
    /// A member of a round under this key.
    RoundMember(Box<str>, ElicitationKind),
}

impl PendingElicitations {
    /// Creates the state of a call to `server`. The client can answer until `client_until`.
    pub(super) fn new(server: Slug, client_until: Option<Timestamp>) -> Self {
        Self {
            server,
            pending: Vec::new(),
            answers: Vec::new(),
            rounds: 0,
            client_until,
        }
    }

    /// Returns the number of elicitations that wait for answers.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Returns the time at which [`ElicitationEvent::Tick`] is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.pending.iter().map(|entry| entry.until).min()
    }

    /// Closes all elicitations without an answer, because the call ends.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = ElicitationId> + '_ {
        self.pending.drain(..).map(|entry| entry.own)
    }

    /// Shortens all deadlines: the stream of the call has ended, and answers in flight arrive soon or never.
    pub(super) fn on_client_disconnected(&mut self, now: Timestamp) {
        self.shorten(now.after(GRACE_PERIOD));
    }

    /// Applies an event.
    pub(super) fn on(&mut self, event: ElicitationEvent, now: Timestamp) -> Vec<ElicitationOutput> {
        let mut out = Vec::new();
        match event {
            ElicitationEvent::Requested {
                id,
                elicitation,
                own,
            } => self.on_requested(id, &elicitation, own, now, &mut out),
            ElicitationEvent::Withdrawn(id) => self.on_withdrawn(&id, &mut out),
            ElicitationEvent::RoundRequested(round) => self.round_requested(round, now, &mut out),
            ElicitationEvent::Answered(own, frame) => self.on_answered(&own, &frame, &mut out),
            ElicitationEvent::Tick => self.expire(now, "there was no answer in time", &mut out),
            ElicitationEvent::Drain => {
                self.shorten(now);
                self.expire(now, "the gateway is being stopped", &mut out);
            }
        }
        out
    }

    fn until(&self, now: Timestamp) -> Timestamp {
        let timeout = now.after(ANSWER_TIMEOUT);
        self.client_until.map_or(timeout, |end| end.min(timeout))
    }

    fn shorten(&mut self, until: Timestamp) {
        for entry in &mut self.pending {
            entry.until = entry.until.min(until);
        }
    }

    fn on_requested(
        &mut self,
        id: Box<str>,
        elicitation: &Elicitation,
        own: Option<ElicitationId>,
        now: Timestamp,
        out: &mut Vec<ElicitationOutput>,
    ) {
        if self.position(&id).is_some() {
            // The one answer to this id is still to come.
            out.extend(own.map(ElicitationOutput::Close));
            return;
        }
        match own {
            Some(own) if self.pending.len() < MAX_PENDING => {
                let request = elicitation.to_request(&own, &self.server);
                out.push(ElicitationOutput::SendClient(request));
                self.pending.push(PendingEntry {
                    own,
                    origin: RequestOrigin::Request(id),
                    until: self.until(now),
                });
            }
            other => {
                out.extend(other.map(ElicitationOutput::Close));
                let refusal = unanswered(&id, "the client cannot be asked now");
                out.push(ElicitationOutput::Respond(refusal));
            }
        }
    }

    fn position(&self, id: &str) -> Option<usize> {
        let same = |entry: &PendingEntry| matches!(&entry.origin, RequestOrigin::Request(known) if **known == *id);
        self.pending.iter().position(same)
    }

    fn on_withdrawn(&mut self, id: &str, out: &mut Vec<ElicitationOutput>) {
        if let Some(at) = self.position(id) {
            let entry = self.pending.remove(at);
            let notice = cancelled(&entry.own, "the server withdrew it");
            out.push(ElicitationOutput::SendClient(notice));
            out.push(ElicitationOutput::Close(entry.own));
        }
    }

    fn round_requested(
        &mut self,
        round: Vec<(Box<str>, Elicitation, Option<ElicitationId>)>,
        now: Timestamp,
        out: &mut Vec<ElicitationOutput>,
    ) {
        self.rounds += 1;
        let askable = round.iter().all(|(_, _, own)| own.is_some());
        let fits = self.rounds <= MAX_ROUNDS && round.len() <= MAX_PENDING;
        if !fits || !askable || !self.pending.is_empty() {
            let registered = round.into_iter().filter_map(|(_, _, own)| own);
            out.extend(registered.map(ElicitationOutput::Close));
            out.push(ElicitationOutput::Fail);
            return;
        }
        if round.is_empty() {
            out.push(ElicitationOutput::SendRound(None));
            return;
        }
        self.answers.clear();
        let until = self.until(now);
        for (key, elicitation, own) in round {
            let Some(own) = own else { continue };
            let request = elicitation.to_request(&own, &self.server);
            out.push(ElicitationOutput::SendClient(request));
            self.pending.push(PendingEntry {
                own,
                origin: RequestOrigin::RoundMember(key, elicitation.kind()),
                until,
            });
        }
    }

    fn on_answered(
        &mut self,
        own: &ElicitationId,
        frame: &Bytes,
        out: &mut Vec<ElicitationOutput>,
    ) {
        let Some(at) = self.pending.iter().position(|entry| entry.own == *own) else {
            return;
        };
        let entry = self.pending.remove(at);
        out.push(ElicitationOutput::Close(entry.own));
        let response = ElicitationResponse::read(frame);
        match entry.origin {
            RequestOrigin::Request(id) => out.push(ElicitationOutput::Respond(match response {
                Some(response) => response.to_response(&id),
                None => unanswered(&id, "the client's answer cannot be read"),
            })),
            RequestOrigin::RoundMember(key, kind) => match round_answer(response, kind) {
                Some(answer) => {
                    self.answers.push((key, answer));
                    if self.pending.is_empty() {
                        let responses = self.input_responses();
                        out.push(ElicitationOutput::SendRound(Some(responses)));
                    }
                }
                None => self.fail_round("another question was not answered", out),
            },
        }
    }

    fn expire(&mut self, now: Timestamp, reason: &'static str, out: &mut Vec<ElicitationOutput>) {
        while let Some(at) = self.pending.iter().position(|entry| entry.until <= now) {
            let entry = self.pending.remove(at);
            let notice = cancelled(&entry.own, reason);
            out.push(ElicitationOutput::SendClient(notice));
            out.push(ElicitationOutput::Close(entry.own));
            match entry.origin {
                RequestOrigin::Request(id) => {
                    out.push(ElicitationOutput::Respond(unanswered(&id, reason)));
                }
                RequestOrigin::RoundMember(..) => self.fail_round(reason, out),
            }
        }
    }

    fn fail_round(&mut self, reason: &str, out: &mut Vec<ElicitationOutput>) {
        for entry in self.pending.drain(..) {
            let notice = cancelled(&entry.own, reason);
            out.push(ElicitationOutput::SendClient(notice));
            out.push(ElicitationOutput::Close(entry.own));
        }
        out.push(ElicitationOutput::Fail);
    }

    /// Builds `inputResponses` from the answers of the round.
    fn input_responses(&mut self) -> Bytes {
        let answers: Vec<_> = self.answers.drain(..).collect();
        let members: Vec<(&str, &[u8])> = answers
            .iter()
            .map(|(key, answer)| (&**key, &answer[..]))
            .collect();
        Bytes::from(object::rebuild(b"{}", |_| true, &members))
    }
}

/// Converts a response to a member of `inputResponses`, which knows no errors: an error to a form or URL is a cancelled
/// one. Returns `None` where the round has no way to say so.
fn round_answer(response: Option<ElicitationResponse>, kind: ElicitationKind) -> Option<Bytes> {
    match (response?, kind) {
        (ElicitationResponse::Result(result), _) => Some(result),
        (ElicitationResponse::Error(_), ElicitationKind::Form | ElicitationKind::Url) => {
            Some(Bytes::from_static(b"{\"action\":\"cancel\"}"))
        }
        (
            ElicitationResponse::Error(_),
            ElicitationKind::Sampling | ElicitationKind::SamplingWithTools | ElicitationKind::Roots,
        ) => None,
    }
}

fn unanswered(id: &str, reason: &'static str) -> Bytes {
    RpcError::new(codes::INTERNAL, reason).to_bytes(Some(id))
}

fn cancelled(own: &ElicitationId, reason: &str) -> Bytes {
    message::cancelled(&quote(&own.name()), reason)
}

#[cfg(test)]
mod tests;
