//! Actor of one change feed: steps the pure state machine, starts its network tasks, and notifies sessions and
//! subscriptions of updates.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::json;
use tokio::{sync::Notify, time::Instant};
use toolgate_actor::{Actor, Context, Handle, Reply, SendError};
use toolgate_data_core::{
    ServerView,
    port::{Feed, LinkKey},
    refusal::UpstreamFailure,
    watch::{Event, Interest, News, Output, Told, Topic, Topics, Watch},
};
use toolgate_runtime::{backoff::Backoff, random};

use crate::{
    gather::PAUSE,
    listeners::{Entry, Shared},
    news::{Outlook, TaskNews},
    session::{self, SessionActor},
    subscription::{self, SubscriptionActor},
};

/// Reply to a caller that waits for the server's consent.
pub(crate) type Waiter = Reply<Result<(), UpstreamFailure>>;

/// Receiver of notifications.
#[derive(Debug, Clone)]
pub(crate) enum Ear {
    Session(Handle<SessionActor>),
    Subscription(Handle<SubscriptionActor>),
    /// Receives status notifications of a task, rewritten for its client.
    Task(Handle<SubscriptionActor>, Outlook),
}

/// Request to subscribe to a topic.
pub(crate) struct Wish {
    pub(crate) interest: Interest,
    pub(crate) topic: Topic,
    pub(crate) exposed: Box<str>,
    pub(crate) ear: Ear,
}

pub(crate) enum Message {
    /// Subscribes to a topic.
    Want(Box<Wish>, Waiter),
    /// Ends a subscription.
    Leave(Interest),
    /// A network task has completed.
    Turned(Turned),
    /// The backoff before reopening the feed is over.
    Retry,
    /// The configuration of the server has changed.
    Moved(Arc<ServerView>),
    /// The server was removed.
    End,
}

/// Result of a network task. At most one task runs at a time; it owns the feed.
pub(crate) enum Turned {
    /// A feed was opened, or could not be opened.
    Opened(Result<Box<dyn Feed>, UpstreamFailure>),
    /// Notifications of the feed; may be empty after an interrupt.
    Told(Box<dyn Feed>, Vec<Told>),
    /// A task notification was sent; the interests listed have no receiver any more.
    Shown(Option<Box<dyn Feed>>, Vec<Interest>),
    /// The feed has ended.
    Lost,
}

pub(crate) struct ListenerActor {
    key: LinkKey,
    machine: Watch<Waiter>,
    ears: BTreeMap<Interest, Ear>,
    /// Interrupts the task that reads the feed.
    interrupt: Arc<Notify>,
    /// Earliest time of the next delivery of updates.
    after: Instant,
    /// True while a network task runs.
    turning: bool,
    next: Next,
    /// Notification to send before the feed is read again.
    news: Option<TaskNews>,
    /// True if the open feed belongs to a former configuration of the server.
    moved: bool,
    backoff: Backoff,
    shared: Weak<Shared>,
    entry: Weak<Entry>,
}

/// Step to take when the current task has completed.
enum Next {
    Listen,
    Open(Topics),
    Close,
}

/// Minimum and maximum backoff before a feed is reopened.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl Ear {
    /// Returns `false` if the subscriber is gone.
    fn tell(&self, news: News) -> bool {
        let told = match (self, news) {
            (Self::Session(session), News::Updated(uri)) => {
                session.tell(session::Message::Updated(uri))
            }
            (Self::Subscription(one), News::Updated(uri)) => {
                one.tell(subscription::Message::Updated(uri))
            }
            // Notification of a kind that this subscriber did not ask for.
            (Self::Session(_) | Self::Subscription(_) | Self::Task(..), _) => return true,
        };
        !matches!(told, Err(SendError::Gone))
    }
}

impl ListenerActor {
    pub(crate) fn new(key: LinkKey, shared: Weak<Shared>, entry: Weak<Entry>) -> Self {
        let (min, max) = PAUSES;
        Self {
            key,
            machine: Watch::new(),
            ears: BTreeMap::new(),
            interrupt: Arc::default(),
            after: Instant::now(),
            turning: false,
            next: Next::Listen,
            news: None,
            moved: false,
            backoff: Backoff::new(min, max),
            shared,
            entry,
        }
    }

    fn step(&mut self, event: Event<Waiter>, cx: &mut Context<Self>) {
        let mut gone = Vec::new();
        for output in self.machine.on(event) {
            match output {
                Output::Open(topics) => self.turn_to(Next::Open(topics)),
                Output::Close => self.turn_to(Next::Close),
                Output::Tell(interest, news) => {
                    if !self.tell(interest, news) {
                        gone.push(interest);
                    }
                }
                Output::Answer(waiter, answer) => waiter.send(answer),
                Output::Pause => {
                    let wait = self.backoff.next(random::number());
                    cx.after(wait, Message::Retry);
                }
                Output::Stop => self.stop(cx),
            }
        }
        for interest in gone {
            self.leave(interest, cx);
        }
    }

    /// Returns `false` if the subscriber is gone. Task notifications are queued for a task of their own.
    fn tell(&mut self, interest: Interest, news: News) -> bool {
        match (self.ears.get(&interest), news) {
            (Some(Ear::Task(one, how)), News::Task(params)) => {
                let news = self.news.get_or_insert_with(|| TaskNews::new(params));
                news.add(interest, one.clone(), how.clone());
                true
            }
            (Some(ear), news) => ear.tell(news),
            (None, _) => false,
        }
    }

    fn turn_to(&mut self, next: Next) {
        self.next = next;
        if self.turning {
            self.interrupt.notify_one();
        }
    }

    /// Removes the feed from the registry; the running task completes first.
    fn stop(&mut self, cx: &mut Context<Self>) {
        if let (Some(shared), Some(entry)) = (self.shared.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.key, &entry);
        }
        if !self.turning {
            cx.stop();
        }
    }

    fn leave(&mut self, interest: Interest, cx: &mut Context<Self>) {
        self.ears.remove(&interest);
        self.step(Event::Leave(interest), cx);
    }

    fn turned(&mut self, turned: Turned, cx: &mut Context<Self>) {
        self.turning = false;
        let mut feed = match turned {
            Turned::Opened(Ok(feed)) => {
                self.backoff.reset();
                self.step(Event::Opened(Ok(feed.agreed().clone())), cx);
                Some(feed)
            }
            Turned::Opened(Err(failure)) => {
                self.step(Event::Opened(Err(failure)), cx);
                None
            }
            Turned::Told(feed, told) => {
                if !told.is_empty() {
                    self.after = Instant::now() + PAUSE;
                }
                for told in told {
                    self.step(Event::Told(told), cx);
                }
                Some(feed)
            }
            Turned::Shown(feed, gone) => {
                for interest in gone {
                    self.leave(interest, cx);
                }
                feed
            }
            Turned::Lost => {
                self.step(Event::Lost, cx);
                None
            }
        };
        if std::mem::take(&mut self.moved)
            && let (Some(old), Some(shared)) = (feed.take(), self.shared.upgrade())
        {
            shared.close(old);
            self.step(Event::Lost, cx);
        }
        self.go_on(feed, cx);
    }

    /// Starts the next network task with the open feed.
    fn go_on(&mut self, feed: Option<Box<dyn Feed>>, cx: &mut Context<Self>) {
        let Some(shared) = self.shared.upgrade() else {
            return cx.stop();
        };
        if let Some(news) = self.news.take() {
            self.turning = true;
            let showing = shared.show(feed, news);
            cx.perform(async move { Message::Turned(showing.await.unwrap_or(Turned::Lost)) });
            return;
        }
        let over = self.machine.state() == "ended";
        match (std::mem::replace(&mut self.next, Next::Listen), feed) {
            (Next::Open(topics), feed) => {
                self.turning = true;
                let opening = shared.open(&self.key, topics, feed);
                cx.perform(async move {
                    let opened = opening.await.unwrap_or(Err(UpstreamFailure::Unreachable));
                    Message::Turned(Turned::Opened(opened))
                });
            }
            (Next::Listen, Some(feed)) if !over => {
                self.turning = true;
                let listening = shared.listen(feed, Arc::clone(&self.interrupt), self.after);
                cx.perform(async move { Message::Turned(listening.await.unwrap_or(Turned::Lost)) });
            }
            (Next::Close | Next::Listen, Some(feed)) => shared.close(feed),
            (Next::Close | Next::Listen, None) => {}
        }
        if over && !self.turning {
            cx.stop();
        }
    }
}

impl Actor for ListenerActor {
    type Message = Message;

    const KIND: &'static str = "listener";

    const CAPACITY: usize = 4096;

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        match message {
            Message::Want(wish, waiter) => {
                let Wish {
                    interest,
                    topic,
                    exposed,
                    ear,
                } = *wish;
                self.ears.insert(interest, ear);
                let event = Event::Want {
                    interest,
                    topic,
                    exposed,
                    waiter,
                };
                self.step(event, cx);
            }
            Message::Leave(interest) => self.leave(interest, cx),
            Message::Turned(turned) => return self.turned(turned, cx),
            Message::Retry => {
                let ending = self
                    .shared
                    .upgrade()
                    .is_none_or(|shared| shared.is_ending());
                let event = if ending { Event::End } else { Event::Retry };
                self.step(event, cx);
            }
            Message::Moved(server) => {
                self.key.server = server;
                self.moved = self.turning;
                self.interrupt.notify_one();
            }
            Message::End => self.step(Event::End, cx),
        }
        if !self.turning {
            self.go_on(None, cx);
        }
    }

    fn observe(&self) -> serde_json::Value {
        let [interests, resources] = self.machine.counts();
        json!({
            "server": self.key.server.name.to_string(),
            "state": self.machine.state(),
            "interests": interests,
            "resources": resources,
        })
    }

    fn stopped(&mut self) {
        if let (Some(shared), Some(entry)) = (self.shared.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.key, &entry);
        }
    }
}
