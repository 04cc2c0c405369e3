//! State machine of the subscriptions of clients to the resources and tasks of one server. All of them share one
//! change feed, which is opened for the first subscription and closed after the last. After the feed broke, updates
//! may have been missed, so each resource is reported as updated once.
//!
//! `W` waits for the server's decision on a subscription.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{notify::subscription::filter::relative_part, refusal::UpstreamFailure};

/// Maximum number of topics of one server on one feed.
pub const MAX_TOPICS: usize = 1_000;

/// Maximum number of client interests in them.
pub const MAX_INTERESTS: usize = 10_000;

/// Resource or task that a client can subscribe to, under the server's own name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeTopic {
    /// Resource with its parts.
    Resource(Box<str>),
    /// Task.
    Task(Box<str>),
}

/// Set of topics.
pub type ChangeTopics = BTreeSet<ChangeTopic>;

/// Change reported by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// The resource with this URI was updated.
    Updated(Box<str>),
    /// The status of a task changed; holds the task's id and the notification's parameters.
    Task(Box<str>, Bytes),
}

/// Change reported to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriberUpdate {
    /// The resource with this exposed URI was updated.
    Updated(Box<str>),
    /// The status of the task changed; holds the parameters of the server's notification.
    Task(Bytes),
}

/// Id of one client's interest in one topic. Ids are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterestId(pub u64);

/// Input of [`TopicSubscriptions`].
#[derive(Debug)]
pub enum Event<W> {
    /// A client subscribes to a topic.
    Subscribe {
        /// Id of the interest.
        interest: InterestId,
        /// Topic of the interest.
        topic: ChangeTopic,
        /// Exposed name of the topic.
        exposed: Box<str>,
        /// Receiver of the decision.
        waiter: W,
    },
    /// A client unsubscribes.
    Unsubscribe(InterestId),
    /// The feed is open for these topics, or it could not be opened.
    Opened(Result<ChangeTopics, UpstreamFailure>),
    /// The server reported a change.
    Received(TopicChange),
    /// The feed broke.
    Lost,
    /// The backoff has elapsed.
    BackoffElapsed,
    /// The server was removed, or the proxy shuts down.
    End,
}

/// Effects to perform, in the given order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<W> {
    /// Open a feed of exactly these topics, replacing an open one, then feed [`Event::Opened`].
    Open(ChangeTopics),
    /// Close the feed.
    Close,
    /// Send a change to the subscriber.
    Notify(InterestId, SubscriberUpdate),
    /// Answer a waiting subscription.
    Answer(W, Result<(), UpstreamFailure>),
    /// Feed [`Event::BackoffElapsed`] after a backoff, which grows until a feed is open again.
    StartBackoff,
    /// Remove the machine; nothing is left to do.
    Stop,
}

/// Subscriptions to the topics of one server on behalf of one principal.
#[derive(Debug)]
pub struct TopicSubscriptions<W> {
    interests: BTreeMap<InterestId, TopicInterest>,
    by_topic: BTreeMap<ChangeTopic, BTreeSet<InterestId>>,
    waiters: BTreeMap<InterestId, W>,
    agreed: ChangeTopics,
    state: State,
    /// True if updates may have been missed.
    missed: bool,
}

#[derive(Debug)]
struct TopicInterest {
    topic: ChangeTopic,
    exposed: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Opening(ChangeTopics),
    Open(ChangeTopics),
    BackingOff,
    Ended,
}

impl<W> Default for TopicSubscriptions<W> {
    fn default() -> Self {
        Self {
            interests: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            waiters: BTreeMap::new(),
            agreed: ChangeTopics::new(),
            state: State::Idle,
            missed: false,
        }
    }
}

impl<W> TopicSubscriptions<W> {
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
            State::Open(_) => "open",
            State::BackingOff => "backing off",
            State::Ended => "ended",
        }
    }

    /// Returns `true` if the subscriptions have ended and nothing is being opened.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Applies an event and returns its effects.
    pub fn on(&mut self, event: Event<W>) -> Vec<Output<W>> {
        let mut out = Vec::new();
        match event {
            Event::Subscribe {
                interest,
                topic,
                exposed,
                waiter,
            } => self.subscribe(interest, TopicInterest { topic, exposed }, waiter, &mut out),
            Event::Unsubscribe(interest) => {
                self.remove(interest);
                self.reconcile(&mut out);
            }
            Event::Opened(outcome) => self.on_opened(outcome, &mut out),
            Event::Received(change) => self.notify_change(change, &mut out),
            Event::Lost => {
                if matches!(self.state, State::Open(_)) {
                    self.missed = true;
                    self.state = State::BackingOff;
                    out.push(Output::StartBackoff);
                }
            }
            Event::BackoffElapsed => {
                if self.state == State::BackingOff {
                    self.state = State::Idle;
                    self.reconcile(&mut out);
                }
            }
            Event::End => self.end(&mut out),
        }
        out
    }

    fn subscribe(
        &mut self,
        interest: InterestId,
        topic_interest: TopicInterest,
        waiter: W,
        out: &mut Vec<Output<W>>,
    ) {
        let known = self.by_topic.contains_key(&topic_interest.topic);
        let failure = if self.state == State::Ended {
            Some(UpstreamFailure::Unreachable)
        } else if self.interests.len() >= MAX_INTERESTS
            || (!known && self.by_topic.len() >= MAX_TOPICS)
        {
            Some(UpstreamFailure::Busy)
        } else {
            None
        };
        if let Some(failure) = failure {
            out.push(Output::Answer(waiter, Err(failure)));
            return;
        }
        let all = self
            .by_topic
            .entry(topic_interest.topic.clone())
            .or_default();
        all.insert(interest);
        let agreed = self.agreed.contains(&topic_interest.topic);
        self.interests.insert(interest, topic_interest);
        if agreed {
            out.push(Output::Answer(waiter, Ok(())));
        } else {
            self.waiters.insert(interest, waiter);
        }
        self.reconcile(out);
    }

    fn remove(&mut self, interest: InterestId) {
        self.waiters.remove(&interest);
        let Some(topic_interest) = self.interests.remove(&interest) else {
            return;
        };
        if let Some(all) = self.by_topic.get_mut(&topic_interest.topic) {
            all.remove(&interest);
            if all.is_empty() {
                self.by_topic.remove(&topic_interest.topic);
                self.agreed.remove(&topic_interest.topic);
            }
        }
    }

    fn requested_topics(&self) -> ChangeTopics {
        self.by_topic.keys().cloned().collect()
    }

    /// Reopens or closes the feed if its topics differ from the requested ones, unless it is being opened or in
    /// backoff.
    fn reconcile(&mut self, out: &mut Vec<Output<W>>) {
        let topics = match &self.state {
            State::Idle if self.by_topic.is_empty() => {
                self.state = State::Ended;
                out.push(Output::Stop);
                return;
            }
            State::Idle => self.requested_topics(),
            State::Open(requested) if requested.iter().ne(self.by_topic.keys()) => {
                self.requested_topics()
            }
            State::Open(_) | State::Opening(_) | State::BackingOff | State::Ended => return,
        };
        if topics.is_empty() {
            self.state = State::Ended;
            out.extend([Output::Close, Output::Stop]);
            return;
        }
        self.state = State::Opening(topics.clone());
        out.push(Output::Open(topics));
    }

    fn on_opened(
        &mut self,
        outcome: Result<ChangeTopics, UpstreamFailure>,
        out: &mut Vec<Output<W>>,
    ) {
        let State::Opening(requested) = std::mem::replace(&mut self.state, State::Idle) else {
            self.state = State::Ended;
            out.extend([Output::Close, Output::Stop]);
            return;
        };
        match outcome {
            Ok(agreed) => {
                for topic in &requested {
                    let is_agreed = agreed.contains(topic);
                    if !is_agreed {
                        self.reject(topic, out);
                    } else if self.by_topic.contains_key(topic) {
                        self.agreed.insert(topic.clone());
                        self.answer(topic, Ok(()), out);
                    }
                }
                self.state = State::Open(requested);
                if std::mem::take(&mut self.missed) {
                    for topic in self.agreed.clone() {
                        // The status of a task is unknown; clients poll it from time to time.
                        if let ChangeTopic::Resource(uri) = topic {
                            self.notify_update(&uri, out);
                        }
                    }
                }
                self.reconcile(out);
            }
            Err(failure) => {
                for topic in &requested {
                    self.answer(topic, Err(failure), out);
                }
                if self.by_topic.is_empty() {
                    self.state = State::Ended;
                    out.extend([Output::Close, Output::Stop]);
                    return;
                }
                // The previous feed may be closed too.
                self.missed = true;
                self.state = State::BackingOff;
                out.extend([Output::Close, Output::StartBackoff]);
            }
        }
    }

    /// Answers all subscriptions that wait for this topic. On failure they are removed.
    fn answer(
        &mut self,
        topic: &ChangeTopic,
        answer: Result<(), UpstreamFailure>,
        out: &mut Vec<Output<W>>,
    ) {
        for interest in self.by_topic.get(topic).cloned().unwrap_or_default() {
            let Some(waiter) = self.waiters.remove(&interest) else {
                continue;
            };
            if answer.is_err() {
                self.remove(interest);
            }
            out.push(Output::Answer(waiter, answer));
        }
    }

    /// Removes all subscriptions to a topic that the server does not agree to, including those accepted before.
    fn reject(&mut self, topic: &ChangeTopic, out: &mut Vec<Output<W>>) {
        self.answer(topic, Err(UpstreamFailure::Status), out);
        for interest in self.by_topic.get(topic).cloned().unwrap_or_default() {
            self.remove(interest);
        }
    }

    fn notify_change(&self, change: TopicChange, out: &mut Vec<Output<W>>) {
        match change {
            TopicChange::Updated(uri) => self.notify_update(&uri, out),
            TopicChange::Task(id, params) => {
                let interests = self
                    .by_topic
                    .get(&ChangeTopic::Task(id))
                    .into_iter()
                    .flatten();
                out.extend(
                    interests
                        .map(|one| Output::Notify(*one, SubscriberUpdate::Task(params.clone()))),
                );
            }
        }
    }

    /// Notifies the subscribers of the resource itself and of resources that contain it.
    fn notify_update(&self, uri: &str, out: &mut Vec<Output<W>>) {
        for (topic, interests) in &self.by_topic {
            let ChangeTopic::Resource(whole) = topic else {
                continue;
            };
            let Some(rest) = relative_part(whole, uri) else {
                continue;
            };
            for interest in interests {
                if let Some(topic_interest) = self.interests.get(interest) {
                    let exposed = format!("{}{rest}", topic_interest.exposed);
                    out.push(Output::Notify(
                        *interest,
                        SubscriberUpdate::Updated(exposed.into()),
                    ));
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Output<W>>) {
        let failed = |waiter| Output::Answer(waiter, Err(UpstreamFailure::Unreachable));
        out.extend(std::mem::take(&mut self.waiters).into_values().map(failed));
        self.interests.clear();
        self.by_topic.clear();
        self.agreed.clear();
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle | State::BackingOff => out.push(Output::Stop),
            State::Open(_) => out.extend([Output::Close, Output::Stop]),
            // The feed is closed once it is open.
            State::Opening(requested) => self.state = State::Opening(requested),
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
