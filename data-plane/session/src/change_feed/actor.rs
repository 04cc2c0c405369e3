//! Actor of one change feed: steps the pure state machine, starts its network tasks, and notifies subscribers of changes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::json;
use tokio::{sync::Notify, time::Instant};
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::{
    ServerView,
    notify::topic_subscriptions::{
        ChangeTopic, ChangeTopics, Event, InterestId, Output, SubscriberUpdate, TopicSubscriptions,
    },
    port::{ChangeFeed, UpstreamSessionKey},
    refusal::UpstreamFailure,
};
use toolgate_runtime::{backoff::Backoff, random};

use super::{
    batching::BATCH_INTERVAL,
    feed_tasks::{FeedTaskResult, FeedTasks},
    subscriber::{DeliveryOutcome, Subscriber, SubscriberNotification},
    task_notification::TaskNotification,
};
use crate::registration::Registration;

/// Reply to a caller that waits for the server's consent.
pub(crate) type SubscribeReply = ReplySender<Result<(), UpstreamFailure>>;

/// Request to subscribe to a topic.
pub(crate) struct SubscribeRequest {
    pub(crate) interest: InterestId,
    pub(crate) topic: ChangeTopic,
    pub(crate) exposed: Box<str>,
    pub(crate) subscriber: Arc<dyn Subscriber>,
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

pub(crate) struct ChangeFeedActor {
    /// Key of the current server configuration. The feed stays registered under the key of its first one.
    key: UpstreamSessionKey,
    machine: TopicSubscriptions<SubscribeReply>,
    subscribers: BTreeMap<InterestId, Arc<dyn Subscriber>>,
    /// Interrupts the task that reads the feed.
    interrupt: Arc<Notify>,
    /// Earliest time of the next delivery of updates.
    next_delivery: Instant,
    /// True while a network task runs.
    task_running: bool,
    next: NextStep,
    /// Notification to send before the feed is read again.
    pending_notification: Option<TaskNotification>,
    /// True if the open feed belongs to a former configuration of the server.
    server_changed: bool,
    backoff: Backoff,
    tasks: Weak<FeedTasks>,
    registration: Registration,
}

/// Step to take when the current task has completed.
enum NextStep {
    Listen,
    Open(ChangeTopics),
    Close,
}

/// Minimum and maximum backoff before a feed is reopened.
const REOPEN_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl ChangeFeedActor {
    pub(crate) fn new(
        key: UpstreamSessionKey,
        tasks: Weak<FeedTasks>,
        registration: Registration,
    ) -> Self {
        let (min, max) = REOPEN_BACKOFF;
        Self {
            key,
            machine: TopicSubscriptions::new(),
            subscribers: BTreeMap::new(),
            interrupt: Arc::default(),
            next_delivery: Instant::now(),
            task_running: false,
            next: NextStep::Listen,
            pending_notification: None,
            server_changed: false,
            backoff: Backoff::new(min, max),
            tasks,
            registration,
        }
    }

    fn step(&mut self, event: Event<SubscribeReply>, cx: &mut ActorContext<Self>) {
        let mut gone = Vec::new();
        for output in self.machine.on(event) {
            match output {
                Output::Open(topics) => self.set_next(NextStep::Open(topics)),
                Output::Close => self.set_next(NextStep::Close),
                Output::Notify(interest, update) => {
                    if !self.deliver(interest, update) {
                        gone.push(interest);
                    }
                }
                Output::Answer(waiter, answer) => waiter.send(answer),
                Output::StartBackoff => {
                    let delay = self.backoff.next(random::number());
                    cx.after(delay, ChangeFeedMessage::Retry);
                }
                Output::Stop => self.stop(cx),
            }
        }
        for interest in gone {
            self.unsubscribe(interest, cx);
        }
    }

    /// Returns `false` if the subscriber is gone. Task notifications are queued for a task of their own.
    fn deliver(&mut self, interest: InterestId, update: SubscriberUpdate) -> bool {
        let Some(subscriber) = self.subscribers.get(&interest) else {
            return false;
        };
        match update {
            SubscriberUpdate::Task(params) => {
                let notification = self
                    .pending_notification
                    .get_or_insert_with(|| TaskNotification::new(params));
                notification.add(interest, Arc::clone(subscriber));
                true
            }
            SubscriberUpdate::Updated(uri) => {
                let notification = SubscriberNotification::ResourceUpdated(uri);
                subscriber.notify(notification) != DeliveryOutcome::Gone
            }
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
        self.registration.end();
        if !self.task_running {
            cx.stop();
        }
    }

    fn unsubscribe(&mut self, interest: InterestId, cx: &mut ActorContext<Self>) {
        self.subscribers.remove(&interest);
        self.step(Event::Unsubscribe(interest), cx);
    }

    fn task_done(&mut self, result: FeedTaskResult, cx: &mut ActorContext<Self>) {
        self.task_running = false;
        let mut feed = match result {
            FeedTaskResult::Opened(Ok(feed)) => {
                self.backoff.reset();
                self.step(Event::Opened(Ok(feed.agreed().clone())), cx);
                Some(feed)
            }
            FeedTaskResult::Opened(Err(failure)) => {
                self.step(Event::Opened(Err(failure)), cx);
                None
            }
            FeedTaskResult::Updates(feed, changes) => {
                if !changes.is_empty() {
                    self.next_delivery = Instant::now() + BATCH_INTERVAL;
                }
                for change in changes {
                    self.step(Event::Received(change), cx);
                }
                Some(feed)
            }
            FeedTaskResult::NotificationSent(feed, gone) => {
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
            && let (Some(old), Some(tasks)) = (feed.take(), self.tasks.upgrade())
        {
            tasks.close(old);
            self.step(Event::Lost, cx);
        }
        self.start_next_task(feed, cx);
    }

    /// Starts the next network task with the open feed.
    fn start_next_task(&mut self, feed: Option<Box<dyn ChangeFeed>>, cx: &mut ActorContext<Self>) {
        let Some(tasks) = self.tasks.upgrade() else {
            return cx.stop();
        };
        if let Some(notification) = self.pending_notification.take() {
            self.task_running = true;
            let sending = tasks.send_task_notification(feed, notification);
            cx.perform(async move {
                ChangeFeedMessage::TaskDone(sending.await.unwrap_or(FeedTaskResult::FeedClosed))
            });
            return;
        }
        let ended = self.machine.has_ended();
        match (std::mem::replace(&mut self.next, NextStep::Listen), feed) {
            (NextStep::Open(topics), feed) => {
                self.task_running = true;
                let opening = tasks.open(&self.key, topics, feed);
                cx.perform(async move {
                    let opened = opening.await.unwrap_or(Err(UpstreamFailure::Unreachable));
                    ChangeFeedMessage::TaskDone(FeedTaskResult::Opened(opened))
                });
            }
            (NextStep::Listen, Some(feed)) if !ended => {
                self.task_running = true;
                let listening = tasks.listen(feed, Arc::clone(&self.interrupt), self.next_delivery);
                cx.perform(async move {
                    ChangeFeedMessage::TaskDone(
                        listening.await.unwrap_or(FeedTaskResult::FeedClosed),
                    )
                });
            }
            (NextStep::Close | NextStep::Listen, Some(feed)) => tasks.close(feed),
            (NextStep::Close | NextStep::Listen, None) => {}
        }
        if ended && !self.task_running {
            cx.stop();
        }
    }
}

impl Actor for ChangeFeedActor {
    type Message = ChangeFeedMessage;

    const KIND: &'static str = "change_feed";

    const CAPACITY: usize = 4096;

    fn handle(&mut self, message: ChangeFeedMessage, cx: &mut ActorContext<Self>) {
        match message {
            ChangeFeedMessage::Subscribe(request, waiter) => {
                let SubscribeRequest {
                    interest,
                    topic,
                    exposed,
                    subscriber,
                } = *request;
                self.subscribers.insert(interest, subscriber);
                let event = Event::Subscribe {
                    interest,
                    topic,
                    exposed,
                    waiter,
                };
                self.step(event, cx);
            }
            ChangeFeedMessage::Unsubscribe(interest) => self.unsubscribe(interest, cx),
            ChangeFeedMessage::TaskDone(result) => return self.task_done(result, cx),
            ChangeFeedMessage::Retry => {
                let tasks = self.tasks.upgrade();
                let event = if tasks.is_none_or(|tasks| tasks.is_draining()) {
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
        self.registration.end();
    }
}
