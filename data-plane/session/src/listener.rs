//! The actor of one feed of changes: it steps the pure machine, has the network part done for it, and tells sessions
//! and subscriptions what was updated.

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

/// Whoever waits to hear whether the server agrees.
pub(crate) type Waiter = Reply<Result<(), UpstreamFailure>>;

/// Where updates are told.
#[derive(Debug, Clone)]
pub(crate) enum Ear {
    Session(Handle<SessionActor>),
    Subscription(Handle<SubscriptionActor>),
    /// News of a task, as its client sees it.
    Task(Handle<SubscriptionActor>, Outlook),
}

/// An interest, with what it takes to serve it.
pub(crate) struct Wish {
    pub(crate) interest: Interest,
    pub(crate) topic: Topic,
    pub(crate) exposed: Box<str>,
    pub(crate) ear: Ear,
}

/// What the actor understands.
pub(crate) enum Message {
    /// Somebody wants to hear of something.
    Want(Box<Wish>, Waiter),
    /// Somebody does not want to any more.
    Leave(Interest),
    /// The network part has come so far.
    Turned(Turned),
    /// The pause is over.
    Retry,
    /// The server is reached in another way now.
    Moved(Arc<ServerView>),
    /// The server is gone.
    End,
}

/// How a turn of the network part ended.
pub(crate) enum Turned {
    /// A feed stands, or could not be opened.
    Opened(Result<Box<dyn Feed>, UpstreamFailure>),
    /// It told these; none if it was to be listened to no longer.
    Told(Box<dyn Feed>, Vec<Told>),
    /// News of a task were told; these were no longer there.
    Shown(Option<Box<dyn Feed>>, Vec<Interest>),
    /// It has ended.
    Lost,
}

/// One feed.
pub(crate) struct ListenerActor {
    key: LinkKey,
    machine: Watch<Waiter>,
    ears: BTreeMap<Interest, Ear>,
    /// Ends the turn that listens.
    interrupt: Arc<Notify>,
    /// When updates are handed over again.
    after: Instant,
    /// Whether a turn is under way.
    turning: bool,
    next: Next,
    /// To be told before the feed is listened to again.
    news: Option<TaskNews>,
    /// Whether the feed that stands is of a server that is reached in another way now.
    moved: bool,
    backoff: Backoff,
    shared: Weak<Shared>,
    entry: Weak<Entry>,
}

/// What is to be done when the turn is over.
enum Next {
    Listen,
    Open(Topics),
    Close,
}

/// Between attempts to open a feed again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl Ear {
    /// Whether there is still somebody to tell.
    fn tell(&self, news: News) -> bool {
        let told = match (self, news) {
            (Self::Session(session), News::Updated(uri)) => {
                session.tell(session::Message::Updated(uri))
            }
            (Self::Subscription(one), News::Updated(uri)) => {
                one.tell(subscription::Message::Updated(uri))
            }
            // Of the other kind than was asked for.
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

    /// Whether there is somebody to tell. News of tasks are told in a turn of their own.
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

    /// It is found by nobody from here on; what is under way comes to its end first.
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

    /// The next turn, with the feed that stands.
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
