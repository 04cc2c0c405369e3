//! Our session with a legacy server, as a machine: many callers, one handshake; a session that the server forgot is
//! replaced once for all who noticed; one that nobody uses is ended.
//!
//! `W` is whoever waits for an answer.

use std::{sync::Arc, time::Duration};

use toolgate_model::Timestamp;

use crate::{port::LinkFacts, refusal::UpstreamFailure};

/// Callers that may wait for one handshake.
pub const WAITERS: usize = 256;

/// A link that nobody used for this long is ended.
pub const IDLE: Duration = Duration::from_secs(10 * 60);

/// What happens to a link.
#[derive(Debug)]
pub enum Event<W> {
    /// Somebody needs it.
    Wanted(W),
    /// Somebody found that the server no longer knows the session of `lost`.
    Lost {
        /// What they had used.
        lost: Arc<LinkFacts>,
        /// Who needs another.
        waiter: W,
    },
    /// The handshake ended.
    Opened(Result<Arc<LinkFacts>, UpstreamFailure>),
    /// Time passed.
    Tick(Timestamp),
    /// The server was removed or changed, or the proxy ends.
    End,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Output<W> {
    /// Do the handshake, then say [`Event::Opened`].
    Initialize,
    /// Let callers see this from now on.
    Publish(Option<Arc<LinkFacts>>),
    /// Answer one who waits.
    Answer(W, Result<Arc<LinkFacts>, UpstreamFailure>),
    /// Tell the server that this session is over.
    Terminate(Arc<LinkFacts>),
    /// There is nothing left to do: forget the link.
    Stop,
}

/// One link.
#[derive(Debug)]
pub struct Link<W> {
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    Idle,
    Opening(Vec<W>),
    Standing(Arc<LinkFacts>),
    /// The handshake is under way, but nobody wants it any more.
    Abandoned,
    Ended,
}

impl<W> Link<W> {
    /// One that stands already, or none.
    pub fn new(standing: Option<Arc<LinkFacts>>) -> Self {
        let state = standing.map_or(State::Idle, State::Standing);
        Self { state }
    }

    /// A word for its state.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Opening(_) => "opening",
            State::Standing(_) => "standing",
            State::Abandoned => "abandoned",
            State::Ended => "ended",
        }
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event<W>) -> Vec<Output<W>> {
        let mut out = Vec::new();
        match event {
            Event::Wanted(waiter) => self.wanted(waiter, &mut out),
            Event::Lost { lost, waiter } => {
                if matches!(&self.state, State::Standing(facts) if Arc::ptr_eq(facts, &lost)) {
                    out.push(Output::Publish(None));
                    self.state = State::Idle;
                }
                self.wanted(waiter, &mut out);
            }
            Event::Opened(outcome) => self.opened(outcome, &mut out),
            Event::Tick(now) => {
                let idle = matches!(&self.state, State::Standing(facts) if now.since(facts.used()) >= IDLE);
                if idle || matches!(self.state, State::Idle) {
                    self.end(&mut out);
                }
            }
            Event::End => self.end(&mut out),
        }
        out
    }

    fn wanted(&mut self, waiter: W, out: &mut Vec<Output<W>>) {
        match &mut self.state {
            State::Idle => {
                self.state = State::Opening(vec![waiter]);
                out.push(Output::Initialize);
            }
            State::Opening(waiters) if waiters.len() >= WAITERS => {
                out.push(Output::Answer(waiter, Err(UpstreamFailure::Busy)));
            }
            State::Opening(waiters) => waiters.push(waiter),
            State::Standing(facts) => {
                let facts = Arc::clone(facts);
                out.push(Output::Answer(waiter, Ok(facts)));
            }
            State::Abandoned | State::Ended => {
                out.push(Output::Answer(waiter, Err(UpstreamFailure::Unreachable)));
            }
        }
    }

    fn opened(
        &mut self,
        outcome: Result<Arc<LinkFacts>, UpstreamFailure>,
        out: &mut Vec<Output<W>>,
    ) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Opening(waiters) => {
                if let Ok(facts) = &outcome {
                    out.push(Output::Publish(Some(Arc::clone(facts))));
                    self.state = State::Standing(Arc::clone(facts));
                }
                let answer = |waiter| Output::Answer(waiter, outcome.clone());
                out.extend(waiters.into_iter().map(answer));
            }
            State::Abandoned => {
                out.extend(outcome.ok().map(Output::Terminate));
                out.push(Output::Stop);
                self.state = State::Ended;
            }
            // Nobody asked for it.
            other @ (State::Idle | State::Standing(_) | State::Ended) => {
                out.extend(outcome.ok().map(Output::Terminate));
                self.state = other;
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Output<W>>) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle => out.push(Output::Stop),
            State::Opening(waiters) => {
                let gone = |waiter| Output::Answer(waiter, Err(UpstreamFailure::Unreachable));
                out.extend(waiters.into_iter().map(gone));
                self.state = State::Abandoned;
            }
            State::Standing(facts) => {
                out.push(Output::Publish(None));
                out.push(Output::Terminate(facts));
                out.push(Output::Stop);
            }
            State::Abandoned => self.state = State::Abandoned,
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
