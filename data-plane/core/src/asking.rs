//! What a legacy client is asked in the middle of one call, as a machine: questions of its server go out under our own
//! names, and each gets exactly one answer. A legacy server asks one by one and is answered one by one; a modern server
//! asks a round at a time, and its call is made again when all of the round is answered.

mod question;

use std::time::Duration;

use bytes::Bytes;
use toolgate_mcp::{RpcError, error::codes, message, object, text::quote};
use toolgate_model::{Slug, Timestamp};

use question::Said;
pub use question::{Kind, LARGEST, Question, QuestionId};

/// Questions of one call that may wait for answers.
pub const OPEN: usize = 16;

/// Rounds that a modern server may ask in one call.
pub const ROUNDS: usize = 10;

/// How long a client, and whoever sits before it, has to answer.
pub const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// How long somebody has who answers in another way than on the stream on which they were asked, which has ended.
pub const GRACE: Duration = Duration::from_secs(10);

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A legacy server asks. Without a name of ours the client cannot be asked.
    Asked {
        /// The server's id, as written.
        id: Box<str>,
        /// What.
        question: Question,
        /// Our name for it.
        own: Option<QuestionId>,
    },
    /// A legacy server no longer wants the answer to its request of this id, as written.
    Withdrawn(Box<str>),
    /// A modern server wants all of these answered; as many names of ours, unless the client cannot be asked.
    Required(Vec<(Box<str>, Question, Option<QuestionId>)>),
    /// The client answered with this frame.
    Answered(QuestionId, Bytes),
    /// Time passed.
    Tick,
    /// Nobody can be waited for any more.
    Over,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Say this to the client.
    Say(Bytes),
    /// Answer this to the legacy server.
    Tell(Bytes),
    /// Nobody waits for the answer to this question any more.
    Close(QuestionId),
    /// The round is complete: make the call again with this `inputResponses`; none if nothing was asked.
    Again(Option<Bytes>),
    /// The round will never be complete: end the call.
    Fail,
}

/// The questions of one call.
#[derive(Debug)]
pub struct Asking {
    server: Slug,
    open: Vec<Open>,
    /// Answers of the round so far.
    round: Vec<(Box<str>, Bytes)>,
    rounds: usize,
    /// From when on the client can answer nothing.
    end: Option<Timestamp>,
}

#[derive(Debug)]
struct Open {
    own: QuestionId,
    origin: Origin,
    until: Timestamp,
}

#[derive(Debug)]
enum Origin {
    /// A request of this id.
    Request(Box<str>),
    /// A part of the round.
    Input(Box<str>, Kind),
}

impl Asking {
    /// Of a call to this server. The client can answer until `end`, if there is one.
    pub fn new(server: Slug, end: Option<Timestamp>) -> Self {
        Self {
            server,
            open: Vec::new(),
            round: Vec::new(),
            rounds: 0,
            end,
        }
    }

    /// How many questions wait for answers.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.open.iter().map(|open| open.until).min()
    }

    fn until(&self, now: Timestamp) -> Timestamp {
        let patience = now.after(PATIENCE);
        self.end.map_or(patience, |end| end.min(patience))
    }

    /// The stream on which the client was asked has ended: it may have read what it was asked, and answer that, but
    /// only soon.
    pub fn left(&mut self, now: Timestamp) {
        self.hurry(now.after(GRACE));
    }

    /// Nobody waits longer than until then.
    fn hurry(&mut self, until: Timestamp) {
        for open in &mut self.open {
            open.until = open.until.min(until);
        }
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event, now: Timestamp) -> Vec<Output> {
        let mut out = Vec::new();
        match event {
            Event::Asked { id, question, own } => self.asked(id, &question, own, now, &mut out),
            Event::Withdrawn(id) => self.withdrawn(&id, &mut out),
            Event::Required(round) => self.required(round, now, &mut out),
            Event::Answered(own, frame) => self.answered(&own, &frame, &mut out),
            Event::Tick => self.tick(now, "there was no answer in time", &mut out),
            Event::Over => {
                self.hurry(now);
                self.tick(now, "the gateway is being stopped", &mut out);
            }
        }
        out
    }

    fn asked(
        &mut self,
        id: Box<str>,
        question: &Question,
        own: Option<QuestionId>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let known = |open: &Open| matches!(&open.origin, Origin::Request(known) if *known == id);
        if self.open.iter().any(known) {
            // Its one answer is still to come.
            out.extend(own.map(Output::Close));
            return;
        }
        match own {
            Some(own) if self.open.len() < OPEN => {
                out.push(Output::Say(question.to_request(&own, &self.server)));
                self.open.push(Open {
                    own,
                    origin: Origin::Request(id),
                    until: self.until(now),
                });
            }
            other => {
                out.extend(other.map(Output::Close));
                out.push(Output::Tell(unanswered(
                    &id,
                    "the client cannot be asked now",
                )));
            }
        }
    }

    fn withdrawn(&mut self, id: &str, out: &mut Vec<Output>) {
        let of = |open: &Open| matches!(&open.origin, Origin::Request(known) if **known == *id);
        if let Some(at) = self.open.iter().position(of) {
            let open = self.open.remove(at);
            out.push(Output::Say(cancelled(&open.own, "the server withdrew it")));
            out.push(Output::Close(open.own));
        }
    }

    fn required(
        &mut self,
        round: Vec<(Box<str>, Question, Option<QuestionId>)>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.rounds += 1;
        let askable = round.iter().all(|(_, _, own)| own.is_some());
        if self.rounds > ROUNDS || !askable || round.len() > OPEN || !self.open.is_empty() {
            out.extend(
                round
                    .into_iter()
                    .filter_map(|(_, _, own)| own)
                    .map(Output::Close),
            );
            out.push(Output::Fail);
            return;
        }
        if round.is_empty() {
            out.push(Output::Again(None));
            return;
        }
        self.round.clear();
        let until = self.until(now);
        for (key, question, own) in round {
            let Some(own) = own else { continue };
            out.push(Output::Say(question.to_request(&own, &self.server)));
            self.open.push(Open {
                own,
                origin: Origin::Input(key, question.kind()),
                until,
            });
        }
    }

    fn answered(&mut self, own: &QuestionId, frame: &Bytes, out: &mut Vec<Output>) {
        let Some(at) = self.open.iter().position(|open| open.own == *own) else {
            return;
        };
        let open = self.open.remove(at);
        out.push(Output::Close(open.own));
        let said = Said::read(frame);
        match open.origin {
            Origin::Request(id) => out.push(Output::Tell(match said {
                Some(said) => said.to_response(&id),
                None => unanswered(&id, "the client's answer cannot be read"),
            })),
            Origin::Input(key, kind) => match input(said, kind) {
                Some(answer) => {
                    self.round.push((key, answer));
                    if self.open.is_empty() {
                        out.push(Output::Again(Some(self.responses())));
                    }
                }
                None => self.give_up("another question was not answered", out),
            },
        }
    }

    fn tick(&mut self, now: Timestamp, late: &'static str, out: &mut Vec<Output>) {
        while let Some(at) = self.open.iter().position(|open| open.until <= now) {
            let open = self.open.remove(at);
            out.push(Output::Say(cancelled(&open.own, late)));
            out.push(Output::Close(open.own));
            match open.origin {
                Origin::Request(id) => out.push(Output::Tell(unanswered(&id, late))),
                Origin::Input(..) => self.give_up(late, out),
            }
        }
    }

    /// Nothing can complete the round any more.
    fn give_up(&mut self, why: &str, out: &mut Vec<Output>) {
        for open in self.open.drain(..) {
            out.push(Output::Say(cancelled(&open.own, why)));
            out.push(Output::Close(open.own));
        }
        out.push(Output::Fail);
    }

    fn responses(&mut self) -> Bytes {
        let answers: Vec<_> = self.round.drain(..).collect();
        let members: Vec<(&str, &[u8])> = answers
            .iter()
            .map(|(key, said)| (&**key, &said[..]))
            .collect();
        Bytes::from(object::rebuild(b"{}", |_| true, &members))
    }
}

/// An answer as a round has it, which knows no errors: whoever refuses to fill in a form has left it.
fn input(said: Option<Said>, kind: Kind) -> Option<Bytes> {
    match (said?, kind) {
        (Said::Result(result), _) => Some(result),
        (Said::Error(_), Kind::Form | Kind::Url) => {
            Some(Bytes::from_static(b"{\"action\":\"cancel\"}"))
        }
        (Said::Error(_), Kind::Sampling | Kind::SamplingWithTools | Kind::Roots) => None,
    }
}

fn unanswered(id: &str, why: &'static str) -> Bytes {
    RpcError::new(codes::INTERNAL, why).to_bytes(Some(id))
}

fn cancelled(own: &QuestionId, why: &str) -> Bytes {
    message::cancelled(&quote(&own.name()), why)
}

#[cfg(test)]
mod tests;
