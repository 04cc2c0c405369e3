//! State machine of the subscriptions of clients to the resources and tasks of one server. All of them share one
//! change feed, which is opened for the first subscription and closed after the last. After the feed broke, updates
//! may have been missed, so each resource is reported as updated once.
//!
//! `W` waits for the server's decision on a subscription.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{refusal::UpstreamFailure, subscription::filter::part};

/// Maximum number of topics of one server on one feed.
pub const RESOURCES: usize = 1_000;

/// Maximum number of client interests in them.
pub const INTERESTS: usize = 10_000;

/// Resource or task that a client can subscribe to, under the server's own name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Resource with its parts.
    Resource(Box<str>),
    /// Task.
    Task(Box<str>),
}

/// Set of topics.
pub type Topics = BTreeSet<Topic>;

/// Change reported by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The resource with this URI was updated.
    Updated(Box<str>),
    /// The status of a task changed; holds the task's id and the notification's parameters.
    Task(Box<str>, Bytes),
}

/// Change reported to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The resource with this exposed URI was updated.
    Updated(Box<str>),
    /// The status of the task changed; holds the parameters of the server's notification.
    Task(Bytes),
}

/// Id of one client's interest in one topic. Ids are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interest(pub u64);

/// Input of [`TopicSubscriptions`].
#[derive(Debug)]
pub enum Event<W> {
    /// A client subscribes to a topic.
    Want {
        /// Id of the interest.
        interest: Interest,
        /// Topic of the interest.
        topic: Topic,
        /// Exposed name of the topic.
        exposed: Box<str>,
        /// Receiver of the decision.
        waiter: W,
    },
    /// A client unsubscribes.
    Leave(Interest),
    /// The feed is open for these topics, or it could not be opened.
    Opened(Result<Topics, UpstreamFailure>),
    /// The server reported a change.
    Told(Told),
    /// The feed broke.
    Lost,
    /// The backoff has elapsed.
    Retry,
    /// The server was removed, or the proxy shuts down.
    End,
}

/// Effects to perform, in the given order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<W> {
    /// Open a feed of exactly these topics, replacing an open one, then feed [`Event::Opened`].
    Open(Topics),
    /// Close the feed.
    Close,
    /// Send a change to the subscriber.
    Tell(Interest, News),
    /// Answer a waiting subscription.
    Answer(W, Result<(), UpstreamFailure>),
    /// Feed [`Event::BackoffElapsed`] after a backoff, which grows until a feed is open again.
    Pause,
    /// Remove the machine; nothing is left to do.
    Stop,
}

/// Subscriptions to the topics of one server on behalf of one principal.
#[derive(Debug)]
pub struct Watch<W> {
    interests: BTreeMap<Interest, Wish>,
    by_topic: BTreeMap<Topic, BTreeSet<Interest>>,
    waiting: BTreeMap<Interest, W>,
    agreed: Topics,
    state: State,
    /// True if updates may have been missed.
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
    /// Creates a machine without subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of interests, and number of topics.
    pub fn counts(&self) -> [usize; 2] {
        [self.interests.len(), self.by_topic.len()]
    }

    /// Name of the current state.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Opening(_) => "opening",
            State::Standing(_) => "standing",
            State::Pausing => "pausing",
            State::Ended => "ended",
        }
    }

    /// Applies an event and returns its effects.
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

    /// Reopens or closes the feed if its topics differ from the requested ones, unless it is being opened or in
    /// backoff.
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
                        // The status of a task is unknown; clients poll it from time to time.
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
                // The previous feed may be closed too.
                self.missed = true;
                self.state = State::Pausing;
                out.extend([Output::Close, Output::Pause]);
            }
        }
    }

    /// Answers all subscriptions that wait for this topic. On failure they are removed.
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

    /// Removes all subscriptions to a topic that the server does not agree to, including those accepted before.
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

    /// Notifies the subscribers of the resource itself and of resources that contain it.
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
            // The feed is closed once it is open.
            State::Opening(asked) => self.state = State::Opening(asked),
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
