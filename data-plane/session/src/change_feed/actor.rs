//! Actor of one change feed: steps the pure state machine, starts its network tasks, and notifies sessions and
//! subscriptions of updates.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::json;
use tokio::{sync::Notify, time::Instant};
use toolgate_actor::{Actor, ActorContext, ActorHandle, ReplySender, SendError};
use toolgate_data_core::{
    ServerView,
    notify::topic_subscriptions::{
        ChangeTopic, ChangeTopics, Event, InterestId, Output, SubscriberUpdate, TopicChange,
        TopicSubscriptions,
    },
    port::{ChangeFeed, UpstreamSessionKey},
    refusal::UpstreamFailure,
};
use toolgate_runtime::{backoff::Backoff, random};

use super::{
    batching::BATCH_INTERVAL,
    registry::{FeedContext, FeedEntry},
    task_notification::{TaskNotification, TaskStatusCall},
};
use crate::{
    client_session::{self, SessionActor},
    subscription::{self, SubscriptionActor},
};

/// Reply to a caller that waits for the server's consent.
pub(crate) type SubscribeReply = ReplySender<Result<(), UpstreamFailure>>;

/// Receiver of notifications.
#[derive(Debug, Clone)]
pub(crate) enum Subscriber {
    Session(ActorHandle<SessionActor>),
    Subscription(ActorHandle<SubscriptionActor>),
    /// Receives status notifications of a task, rewritten for its client.
    Task(ActorHandle<SubscriptionActor>, TaskStatusCall),
}

/// Request to subscribe to a topic.
pub(crate) struct SubscribeRequest {
    pub(crate) interest: InterestId,
    pub(crate) topic: ChangeTopic,
    pub(crate) exposed: Box<str>,
    pub(crate) subscriber: Subscriber,
}

pub(crate) enum ChangeFeedMessage {
    /// Subscribes to a topic.
    Subscribe(Box<SubscribeRequest>, SubscribeReply),
    /// Ends a subscription.
    Unsubscribe(InterestId),
    /// A network task has completed.
    TaskDone(FeedTaskResult),
    /// The backoff before reopening the feed is over.
    Retry,
    /// The configuration of the server has changed.
    ServerChanged(Arc<ServerView>),
    /// The server was removed.
    End,
}

/// Result of a network task. At most one task runs at a time; it owns the feed.
pub(crate) enum FeedTaskResult {
    /// A feed was opened, or could not be opened.
    Opened(Result<Box<dyn ChangeFeed>, UpstreamFailure>),
    /// Notifications of the feed; may be empty after an interrupt.
    Updates(Box<dyn ChangeFeed>, Vec<TopicChange>),
    /// A task notification was sent; the interests listed have no receiver any more.
    NoticesSent(Option<Box<dyn ChangeFeed>>, Vec<InterestId>),
    /// The feed has ended.
    FeedClosed,
}

pub(crate) struct ChangeFeedActor {
    key: UpstreamSessionKey,
    /// Key under which the feed is registered: that of its first server configuration.
    registered: UpstreamSessionKey,
    machine: TopicSubscriptions<SubscribeReply>,
    subscribers: BTreeMap<InterestId, Subscriber>,
    /// Interrupts the task that reads the feed.
    interrupt: Arc<Notify>,
    /// Earliest time of the next delivery of updates.
    next_delivery: Instant,
    /// True while a network task runs.
    task_running: bool,
    next: NextStep,
    /// Notification to send before the feed is read again.
    pending_notice: Option<TaskNotification>,
    /// True if the open feed belongs to a former configuration of the server.
    server_changed: bool,
    backoff: Backoff,
    context: Weak<FeedContext>,
    entry: Weak<FeedEntry>,
}

/// Step to take when the current task has completed.
enum NextStep {
    Listen,
    Open(ChangeTopics),
    Close,
}

/// Minimum and maximum backoff before a feed is reopened.
const REOPEN_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl Subscriber {
    /// Returns `false` if the subscriber is gone.
    fn notify(&self, news: SubscriberUpdate) -> bool {
        let told = match (self, news) {
            (Self::Session(session), SubscriberUpdate::Updated(uri)) => {
                session.tell(client_session::SessionMessage::Updated(uri))
            }
            (Self::Subscription(one), SubscriberUpdate::Updated(uri)) => {
                one.tell(subscription::SubscriptionMessage::Updated(uri))
            }
            // Notification of a kind that this subscriber did not ask for.
            (Self::Session(_) | Self::Subscription(_) | Self::Task(..), _) => return true,
        };
        !matches!(told, Err(SendError::Gone))
    }
}

impl ChangeFeedActor {
    pub(crate) fn new(
        key: UpstreamSessionKey,
        context: Weak<FeedContext>,
        entry: Weak<FeedEntry>,
    ) -> Self {
        let (min, max) = REOPEN_BACKOFF;
        Self {
            registered: key.clone(),
            key,
            machine: TopicSubscriptions::new(),
            subscribers: BTreeMap::new(),
            interrupt: Arc::default(),
            next_delivery: Instant::now(),
            task_running: false,
            next: NextStep::Listen,
            pending_notice: None,
            server_changed: false,
            backoff: Backoff::new(min, max),
            context,
            entry,
        }
    }

    fn step(&mut self, event: Event<SubscribeReply>, cx: &mut ActorContext<Self>) {
        let mut gone = Vec::new();
        for output in self.machine.on(event) {
            match output {
                Output::Open(topics) => self.set_next(NextStep::Open(topics)),
                Output::Close => self.set_next(NextStep::Close),
                Output::Notify(interest, news) => {
                    if !self.deliver(interest, news) {
                        gone.push(interest);
                    }
                }
                Output::Answer(waiter, answer) => waiter.send(answer),
                Output::StartBackoff => {
                    let wait = self.backoff.next(random::number());
                    cx.after(wait, ChangeFeedMessage::Retry);
                }
                Output::Stop => self.stop(cx),
            }
        }
        for interest in gone {
            self.unsubscribe(interest, cx);
        }
    }

    /// Returns `false` if the subscriber is gone. Task notifications are queued for a task of their own.
    fn deliver(&mut self, interest: InterestId, news: SubscriberUpdate) -> bool {
        match (self.subscribers.get(&interest), news) {
            (Some(Subscriber::Task(one, how)), SubscriberUpdate::Task(params)) => {
                let news = self
                    .pending_notice
                    .get_or_insert_with(|| TaskNotification::new(params));
                news.add(interest, one.clone(), how.clone());
                true
            }
            (Some(ear), news) => ear.notify(news),
            (None, _) => false,
        }
    }

    fn set_next(&mut self, next: NextStep) {
        self.next = next;
        if self.task_running {
            self.interrupt.notify_one();
        }
    }

    /// Removes the feed from the registry; the running task completes first.
    fn stop(&mut self, cx: &mut ActorContext<Self>) {
        if let (Some(shared), Some(entry)) = (self.context.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.registered, &entry);
        }
        if !self.task_running {
            cx.stop();
        }
    }

    fn unsubscribe(&mut self, interest: InterestId, cx: &mut ActorContext<Self>) {
        self.subscribers.remove(&interest);
        self.step(Event::Unsubscribe(interest), cx);
    }

    fn task_done(&mut self, turned: FeedTaskResult, cx: &mut ActorContext<Self>) {
        self.task_running = false;
        let mut feed = match turned {
            FeedTaskResult::Opened(Ok(feed)) => {
                self.backoff.reset();
                self.step(Event::Opened(Ok(feed.agreed().clone())), cx);
                Some(feed)
            }
            FeedTaskResult::Opened(Err(failure)) => {
                self.step(Event::Opened(Err(failure)), cx);
                None
            }
            FeedTaskResult::Updates(feed, told) => {
                if !told.is_empty() {
                    self.next_delivery = Instant::now() + BATCH_INTERVAL;
                }
                for told in told {
                    self.step(Event::Received(told), cx);
                }
                Some(feed)
            }
            FeedTaskResult::NoticesSent(feed, gone) => {
                for interest in gone {
                    self.unsubscribe(interest, cx);
                }
                feed
            }
            FeedTaskResult::FeedClosed => {
                self.step(Event::Lost, cx);
                None
            }
        };
        if std::mem::take(&mut self.server_changed)
            && let (Some(old), Some(shared)) = (feed.take(), self.context.upgrade())
        {
            shared.close(old);
            self.step(Event::Lost, cx);
        }
        self.start_next_task(feed, cx);
    }

    /// Starts the next network task with the open feed.
    fn start_next_task(&mut self, feed: Option<Box<dyn ChangeFeed>>, cx: &mut ActorContext<Self>) {
        let Some(shared) = self.context.upgrade() else {
            return cx.stop();
        };
        if let Some(news) = self.pending_notice.take() {
            self.task_running = true;
            let showing = shared.send_task_notices(feed, news);
            cx.perform(async move {
                ChangeFeedMessage::TaskDone(showing.await.unwrap_or(FeedTaskResult::FeedClosed))
            });
            return;
        }
        let over = self.machine.has_ended();
        match (std::mem::replace(&mut self.next, NextStep::Listen), feed) {
            (NextStep::Open(topics), feed) => {
                self.task_running = true;
                let opening = shared.open(&self.key, topics, feed);
                cx.perform(async move {
                    let opened = opening.await.unwrap_or(Err(UpstreamFailure::Unreachable));
                    ChangeFeedMessage::TaskDone(FeedTaskResult::Opened(opened))
                });
            }
            (NextStep::Listen, Some(feed)) if !over => {
                self.task_running = true;
                let listening =
                    shared.listen(feed, Arc::clone(&self.interrupt), self.next_delivery);
                cx.perform(async move {
                    ChangeFeedMessage::TaskDone(
                        listening.await.unwrap_or(FeedTaskResult::FeedClosed),
                    )
                });
            }
            (NextStep::Close | NextStep::Listen, Some(feed)) => shared.close(feed),
            (NextStep::Close | NextStep::Listen, None) => {}
        }
        if over && !self.task_running {
            cx.stop();
        }
    }
}

impl Actor for ChangeFeedActor {
    type Message = ChangeFeedMessage;

    const KIND: &'static str = "listener";

    const CAPACITY: usize = 4096;

    fn handle(&mut self, message: ChangeFeedMessage, cx: &mut ActorContext<Self>) {
        match message {
            ChangeFeedMessage::Subscribe(wish, waiter) => {
                let SubscribeRequest {
                    interest,
                    topic,
                    exposed,
                    subscriber: ear,
                } = *wish;
                self.subscribers.insert(interest, ear);
                let event = Event::Subscribe {
                    interest,
                    topic,
                    exposed,
                    waiter,
                };
                self.step(event, cx);
            }
            ChangeFeedMessage::Unsubscribe(interest) => self.unsubscribe(interest, cx),
            ChangeFeedMessage::TaskDone(turned) => return self.task_done(turned, cx),
            ChangeFeedMessage::Retry => {
                let ending = self
                    .context
                    .upgrade()
                    .is_none_or(|shared| shared.is_draining());
                let event = if ending {
                    Event::End
                } else {
                    Event::BackoffElapsed
                };
                self.step(event, cx);
            }
            ChangeFeedMessage::ServerChanged(server) => {
                // The registry compares with the key of registration, so every later view looks like another change.
                if self.key.server.digest == server.digest {
                    return;
                }
                self.key.server = server;
                self.server_changed = self.task_running;
                self.interrupt.notify_one();
            }
            ChangeFeedMessage::End => self.step(Event::End, cx),
        }
        if !self.task_running {
            self.start_next_task(None, cx);
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
        if let (Some(shared), Some(entry)) = (self.context.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.registered, &entry);
        }
    }
}
