//! What clients watch of one server, resources and tasks, as a machine: many of them, one feed. It asks for one when the
//! first client wants it and no longer when the last one has gone; when the feed broke, updates may have been missed, so
//! each resource is told as updated once.
//!
//! `W` is whoever waits to hear whether the server agrees.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{refusal::UpstreamFailure, subscription::filter::part};

/// Resources and tasks of one server that are watched over one feed.
pub const RESOURCES: usize = 1_000;

/// Clients' interests in them.
pub const INTERESTS: usize = 10_000;

/// What can be watched, as its server calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A resource, and its parts.
    Resource(Box<str>),
    /// A task.
    Task(Box<str>),
}

/// Several of them.
pub type Topics = BTreeSet<Topic>;

/// What a server says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// This resource was updated.
    Updated(Box<str>),
    /// This task has come so far: the parameters of the notice.
    Task(Box<str>, Bytes),
}

/// What one who watches is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This resource, by the client's own URI, was updated.
    Updated(Box<str>),
    /// The task has come so far: the parameters of the server's notice.
    Task(Bytes),
}

/// One client's interest in one resource. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interest(pub u64);

/// What happens.
#[derive(Debug)]
pub enum Event<W> {
    /// A client wants to hear of a resource.
    Want {
        /// Its interest.
        interest: Interest,
        /// In what.
        topic: Topic,
        /// What the client calls it.
        exposed: Box<str>,
        /// Who waits for the answer.
        waiter: W,
    },
    /// It does not want to any more.
    Leave(Interest),
    /// The feed stands for these, or it could not be opened.
    Opened(Result<Topics, UpstreamFailure>),
    /// The server says this.
    Told(Told),
    /// The feed broke.
    Lost,
    /// The pause is over.
    Retry,
    /// The server is gone, or this proxy ends.
    End,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<W> {
    /// Open a feed of exactly these, in place of the one that stands, if one does; then say [`Event::Opened`].
    Open(Topics),
    /// Let go of the feed.
    Close,
    /// Tell the client.
    Tell(Interest, News),
    /// Answer one who waits.
    Answer(W, Result<(), UpstreamFailure>),
    /// Say [`Event::Retry`] after a pause, longer each time until a feed stands again.
    Pause,
    /// There is nothing left to do.
    Stop,
}

/// All that is watched of one server on behalf of one principal.
#[derive(Debug)]
pub struct Watch<W> {
    interests: BTreeMap<Interest, Wish>,
    by_topic: BTreeMap<Topic, BTreeSet<Interest>>,
    waiting: BTreeMap<Interest, W>,
    agreed: Topics,
    state: State,
    /// Updates may have been missed.
    missed: bool,
}

#[derive(Debug)]
struct Wish {
    topic: Topic,
    exposed: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Opening(Topics),
    Standing(Topics),
    Pausing,
    Ended,
}

impl<W> Default for Watch<W> {
    fn default() -> Self {
        Self {
            interests: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            waiting: BTreeMap::new(),
            agreed: Topics::new(),
            state: State::Idle,
            missed: false,
        }
    }
}

impl<W> Watch<W> {
    /// Nothing is watched.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many interests there are, and how many resources they are in.
    pub fn counts(&self) -> [usize; 2] {
        [self.interests.len(), self.by_topic.len()]
    }

    /// A word for its state.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Opening(_) => "opening",
            State::Standing(_) => "standing",
            State::Pausing => "pausing",
            State::Ended => "ended",
        }
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event<W>) -> Vec<Output<W>> {
        let mut out = Vec::new();
        match event {
            Event::Want {
                interest,
                topic,
                exposed,
                waiter,
            } => self.want(interest, Wish { topic, exposed }, waiter, &mut out),
            Event::Leave(interest) => {
                self.forget(interest);
                self.adjust(&mut out);
            }
            Event::Opened(outcome) => self.opened(outcome, &mut out),
            Event::Told(told) => self.told(told, &mut out),
            Event::Lost => {
                if matches!(self.state, State::Standing(_)) {
                    self.missed = true;
                    self.state = State::Pausing;
                    out.push(Output::Pause);
                }
            }
            Event::Retry => {
                if self.state == State::Pausing {
                    self.state = State::Idle;
                    self.adjust(&mut out);
                }
            }
            Event::End => self.end(&mut out),
        }
        out
    }

    fn want(&mut self, interest: Interest, wish: Wish, waiter: W, out: &mut Vec<Output<W>>) {
        let known = self.by_topic.contains_key(&wish.topic);
        let failure = if self.state == State::Ended {
            Some(UpstreamFailure::Unreachable)
        } else if self.interests.len() >= INTERESTS || (!known && self.by_topic.len() >= RESOURCES)
        {
            Some(UpstreamFailure::Busy)
        } else {
            None
        };
        if let Some(failure) = failure {
            out.push(Output::Answer(waiter, Err(failure)));
            return;
        }
        let all = self.by_topic.entry(wish.topic.clone()).or_default();
        all.insert(interest);
        let agreed = self.agreed.contains(&wish.topic);
        self.interests.insert(interest, wish);
        if agreed {
            out.push(Output::Answer(waiter, Ok(())));
        } else {
            self.waiting.insert(interest, waiter);
        }
        self.adjust(out);
    }

    fn forget(&mut self, interest: Interest) {
        self.waiting.remove(&interest);
        let Some(wish) = self.interests.remove(&interest) else {
            return;
        };
        if let Some(all) = self.by_topic.get_mut(&wish.topic) {
            all.remove(&interest);
            if all.is_empty() {
                self.by_topic.remove(&wish.topic);
                self.agreed.remove(&wish.topic);
            }
        }
    }

    fn wanted(&self) -> Topics {
        self.by_topic.keys().cloned().collect()
    }

    /// Brings the feed into line with what is wanted, unless it is being opened or given a pause.
    fn adjust(&mut self, out: &mut Vec<Output<W>>) {
        let wanted = match &self.state {
            State::Idle if self.by_topic.is_empty() => {
                self.state = State::Ended;
                out.push(Output::Stop);
                return;
            }
            State::Idle => self.wanted(),
            State::Standing(asked) if asked.iter().ne(self.by_topic.keys()) => self.wanted(),
            State::Standing(_) | State::Opening(_) | State::Pausing | State::Ended => return,
        };
        if wanted.is_empty() {
            self.state = State::Ended;
            out.extend([Output::Close, Output::Stop]);
            return;
        }
        self.state = State::Opening(wanted.clone());
        out.push(Output::Open(wanted));
    }

    fn opened(&mut self, outcome: Result<Topics, UpstreamFailure>, out: &mut Vec<Output<W>>) {
        let State::Opening(asked) = std::mem::replace(&mut self.state, State::Idle) else {
            self.state = State::Ended;
            out.extend([Output::Close, Output::Stop]);
            return;
        };
        match outcome {
            Ok(agreed) => {
                for topic in &asked {
                    let yes = agreed.contains(topic);
                    if !yes {
                        self.refused(topic, out);
                    } else if self.by_topic.contains_key(topic) {
                        self.agreed.insert(topic.clone());
                        self.answer(topic, Ok(()), out);
                    }
                }
                self.state = State::Standing(asked);
                if std::mem::take(&mut self.missed) {
                    for topic in self.agreed.clone() {
                        // How far a task has come nobody knows; its client looks by itself now and then.
                        if let Topic::Resource(uri) = topic {
                            self.updated(&uri, out);
                        }
                    }
                }
                self.adjust(out);
            }
            Err(failure) => {
                for topic in &asked {
                    self.answer(topic, Err(failure), out);
                }
                if self.by_topic.is_empty() {
                    self.state = State::Ended;
                    out.extend([Output::Close, Output::Stop]);
                    return;
                }
                // The one that stood before may be gone too.
                self.missed = true;
                self.state = State::Pausing;
                out.extend([Output::Close, Output::Pause]);
            }
        }
    }

    /// Answers all who wait for this; with bad news they are forgotten.
    fn answer(
        &mut self,
        topic: &Topic,
        answer: Result<(), UpstreamFailure>,
        out: &mut Vec<Output<W>>,
    ) {
        for interest in self.by_topic.get(topic).cloned().unwrap_or_default() {
            let Some(waiter) = self.waiting.remove(&interest) else {
                continue;
            };
            if answer.is_err() {
                self.forget(interest);
            }
            out.push(Output::Answer(waiter, answer));
        }
    }

    /// The server does not agree; whoever heard better before is forgotten too.
    fn refused(&mut self, topic: &Topic, out: &mut Vec<Output<W>>) {
        self.answer(topic, Err(UpstreamFailure::Status), out);
        for interest in self.by_topic.get(topic).cloned().unwrap_or_default() {
            self.forget(interest);
        }
    }

    fn told(&self, told: Told, out: &mut Vec<Output<W>>) {
        match told {
            Told::Updated(uri) => self.updated(&uri, out),
            Told::Task(id, params) => {
                let interests = self.by_topic.get(&Topic::Task(id)).into_iter().flatten();
                out.extend(interests.map(|one| Output::Tell(*one, News::Task(params.clone()))));
            }
        }
    }

    /// Of the resource itself, or of a part of it.
    fn updated(&self, uri: &str, out: &mut Vec<Output<W>>) {
        for (topic, interests) in &self.by_topic {
            let Topic::Resource(whole) = topic else {
                continue;
            };
            let Some(rest) = part(whole, uri) else {
                continue;
            };
            for interest in interests {
                if let Some(wish) = self.interests.get(interest) {
                    let exposed = format!("{}{rest}", wish.exposed);
                    out.push(Output::Tell(*interest, News::Updated(exposed.into())));
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Output<W>>) {
        let gone = |waiter| Output::Answer(waiter, Err(UpstreamFailure::Unreachable));
        out.extend(std::mem::take(&mut self.waiting).into_values().map(gone));
        self.interests.clear();
        self.by_topic.clear();
        self.agreed.clear();
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle | State::Pausing => out.push(Output::Stop),
            State::Standing(_) => out.extend([Output::Close, Output::Stop]),
            // Let go of it when it stands.
            State::Opening(asked) => self.state = State::Opening(asked),
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
