//! State machine of the gateway's session with a legacy server. Many callers share one handshake. A session that the
//! server lost is replaced once for all callers that noticed, and an idle session is terminated.
//!
//! `S` is the session, `W` a waiting caller.

use std::{sync::Arc, time::Duration};

use toolgate_model::Timestamp;

use crate::{port::UpstreamSession, refusal::UpstreamFailure};

/// Maximum number of callers that wait for one handshake.
pub const MAX_WAITERS: usize = 256;

/// Idle time after which a session is terminated.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Input of [`UpstreamSessionMachine`].
#[derive(Debug)]
pub enum Event<S, W> {
    /// A caller needs the session.
    Requested(W),
    /// A caller found that the server no longer knows the session `lost`.
    Lost {
        /// Session that the caller used.
        lost: Arc<S>,
        /// Caller that needs a new session.
        waiter: W,
    },
    /// The handshake ended.
    Opened(Result<Arc<S>, UpstreamFailure>),
    /// Periodic tick with the current time.
    Tick(Timestamp),
    /// The server was removed or changed, or the proxy shuts down.
    End,
}

/// Effects to perform, in the given order.
#[derive(Debug)]
pub enum Output<S, W> {
    /// Perform the handshake, then feed [`Event::Opened`].
    Initialize,
    /// Make this session (or none) available to callers.
    Publish(Option<Arc<S>>),
    /// Answer a waiting caller.
    Answer(W, Result<Arc<S>, UpstreamFailure>),
    /// Tell the server that this session is over.
    Terminate(Arc<S>),
    /// Remove the machine; nothing is left to do.
    Stop,
}

/// State machine of one upstream session.
#[derive(Debug)]
pub struct UpstreamSessionMachine<S, W> {
    state: State<S, W>,
}

#[derive(Debug)]
enum State<S, W> {
    Idle,
    Opening(Vec<W>),
    Established(Arc<S>),
    /// The handshake is under way, but its result is no longer needed.
    Abandoned,
    Ended,
}

impl<S: UpstreamSession, W> UpstreamSessionMachine<S, W> {
    /// Creates a machine with an established session, or with none.
    pub fn new(established: Option<Arc<S>>) -> Self {
        let state = established.map_or(State::Idle, State::Established);
        Self { state }
    }

    /// Name of the current state.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Opening(_) => "opening",
            State::Established(_) => "established",
            State::Abandoned => "abandoned",
            State::Ended => "ended",
        }
    }

    /// Applies an event and returns its effects.
    pub fn on(&mut self, event: Event<S, W>) -> Vec<Output<S, W>> {
        let mut out = Vec::new();
        match event {
            Event::Requested(waiter) => self.request(waiter, &mut out),
            Event::Lost { lost, waiter } => {
                if matches!(&self.state, State::Established(session) if Arc::ptr_eq(session, &lost))
                {
                    out.push(Output::Publish(None));
                    self.state = State::Idle;
                }
                self.request(waiter, &mut out);
            }
            Event::Opened(outcome) => self.opened(outcome, &mut out),
            Event::Tick(now) => {
                let idle = matches!(&self.state, State::Established(session) if now.since(session.last_used()) >= IDLE_TIMEOUT);
                if idle || matches!(self.state, State::Idle) {
                    self.end(&mut out);
                }
            }
            Event::End => self.end(&mut out),
        }
        out
    }

    fn request(&mut self, waiter: W, out: &mut Vec<Output<S, W>>) {
        match &mut self.state {
            State::Idle => {
                self.state = State::Opening(vec![waiter]);
                out.push(Output::Initialize);
            }
            State::Opening(waiters) if waiters.len() >= MAX_WAITERS => {
                out.push(Output::Answer(waiter, Err(UpstreamFailure::Busy)));
            }
            State::Opening(waiters) => waiters.push(waiter),
            State::Established(session) => {
                let session = Arc::clone(session);
                out.push(Output::Answer(waiter, Ok(session)));
            }
            State::Abandoned | State::Ended => {
                out.push(Output::Answer(waiter, Err(UpstreamFailure::Unreachable)));
            }
        }
    }

    fn opened(&mut self, outcome: Result<Arc<S>, UpstreamFailure>, out: &mut Vec<Output<S, W>>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Opening(waiters) => {
                if let Ok(session) = &outcome {
                    out.push(Output::Publish(Some(Arc::clone(session))));
                    self.state = State::Established(Arc::clone(session));
                }
                let answer = |waiter| Output::Answer(waiter, outcome.clone());
                out.extend(waiters.into_iter().map(answer));
            }
            State::Abandoned => {
                out.extend(outcome.ok().map(Output::Terminate));
                out.push(Output::Stop);
                self.state = State::Ended;
            }
            // The handshake was not requested in this state.
            other @ (State::Idle | State::Established(_) | State::Ended) => {
                out.extend(outcome.ok().map(Output::Terminate));
                self.state = other;
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Output<S, W>>) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle => out.push(Output::Stop),
            State::Opening(waiters) => {
                let gone = |waiter| Output::Answer(waiter, Err(UpstreamFailure::Unreachable));
                out.extend(waiters.into_iter().map(gone));
                self.state = State::Abandoned;
            }
            State::Established(session) => {
                out.push(Output::Publish(None));
                out.push(Output::Terminate(session));
                out.push(Output::Stop);
            }
            State::Abandoned => self.state = State::Abandoned,
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
