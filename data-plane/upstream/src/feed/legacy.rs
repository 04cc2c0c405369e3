//! Change feed of a legacy server: the stream of an upstream session, and the subscriptions there.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use toolgate_client::{ClientError, ServerChange, ServerChangeFeed, ask, session_changes};
use toolgate_data_core::{
    call::{SessionRefusal, SessionVerdict, retry::session_verdict},
    notify::topic_subscriptions::{ChangeTopic, ChangeTopics, TopicChange},
    port::{BoxedFuture, ChangeFeed, UpstreamSessionKey},
    refusal::UpstreamFailure,
};
use toolgate_mcp::{message, method, text::quote};

use crate::{failure, session::UpstreamSessionHandle, session_probe};

use super::{FeedNetwork, FeedOpenResult, FeedTarget};

/// Interval at which the upstream session is marked as used.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

struct LegacyFeed {
    feeds: FeedNetwork,
    key: UpstreamSessionKey,
    session: Arc<UpstreamSessionHandle>,
    changes: ServerChangeFeed,
    agreed: ChangeTopics,
    /// Times at which the session is marked as used. Changes do not put them off.
    touches: Interval,
}

pub(super) async fn open(
    feeds: FeedNetwork,
    key: UpstreamSessionKey,
    topics: ChangeTopics,
) -> FeedOpenResult {
    let mut session = feeds.sessions.open(&key).await?;
    if session.is_lost() {
        session = feeds.sessions.reopen(&key, &session).await?;
    }
    let mut target = feeds.reach(&key).await?;
    let mut opened = stream(&target, &session).await;
    if is_refused(&opened) && is_session_refused(&feeds, &key, &session).await {
        session = feeds.sessions.reopen(&key, &session).await?;
        opened = stream(&target, &session).await;
    }
    let changes = opened.map_err(|error| {
        let failure = failure::of(&error);
        tracing::debug!(server = %key.server.name, %error, "no stream of changes");
        target.permit.record_failure(failure);
        failure
    })?;
    target.permit.record_success();
    drop(target);
    let feed = LegacyFeed {
        feeds,
        key,
        session,
        // A server without such a stream cannot send updates.
        changes: changes.ok_or(UpstreamFailure::Status)?,
        agreed: ChangeTopics::new(),
        touches: touches(),
    };
    Box::new(feed).change(topics).await
}

fn touches() -> Interval {
    let mut touches = interval_at(Instant::now() + TOUCH_INTERVAL, TOUCH_INTERVAL);
    touches.set_missed_tick_behavior(MissedTickBehavior::Delay);
    touches
}

async fn stream(
    target: &FeedTarget,
    session: &UpstreamSessionHandle,
) -> Result<Option<ServerChangeFeed>, ClientError> {
    let http = &target.upstream().target.http;
    let authenticated = Arc::clone(&target.authenticated).inside(Some(session));
    session_changes(http, &authenticated.endpoint, session.headers()).await
}

/// Reports if the server refused the stream: it may offer none, or not know the session.
fn is_refused<T>(opened: &Result<Option<T>, ClientError>) -> bool {
    matches!(opened, Ok(None) | Err(ClientError::Status(_)))
}

/// Finds out with a ping if the server refuses the session.
async fn is_session_refused(
    feeds: &FeedNetwork,
    key: &UpstreamSessionKey,
    session: &UpstreamSessionHandle,
) -> bool {
    let refusal = SessionRefusal::Status(404);
    let ping = session_probe::ping(&feeds.registry, (&key.server, &key.principal), session).await;
    session_verdict(refusal, ping) != SessionVerdict::Usable
}

impl LegacyFeed {
    /// Subscribes to a resource or unsubscribes from it. Returns `true` if the server agrees.
    async fn set_subscription(&self, method: &str, uri: &str) -> Result<bool, UpstreamFailure> {
        let mut target = self.feeds.reach(&self.key).await?;
        let id = self.session.next_id().to_string();
        let params = format!("{{\"uri\":{}}}", quote(uri));
        let request = message::request(&id, method, Some(&params));
        let authenticated = Arc::clone(&target.authenticated).inside(Some(&self.session));
        let endpoint = authenticated.endpoint.clone();
        let endpoint = endpoint.with_max_timeout(self.key.server.timeouts.first_byte);
        let http = &target.upstream().target.http;
        let result = ask(http, &endpoint, self.session.headers(), &id, request).await;
        match result {
            Ok(()) => {
                target.permit.record_success();
                Ok(true)
            }
            Err(ClientError::Status(_))
                if is_session_refused(&self.feeds, &self.key, &self.session).await =>
            {
                // The feed is opened again, in a new session.
                target.permit.record_success();
                self.session.discard();
                Err(UpstreamFailure::SessionLost)
            }
            // The server answered with an error.
            Err(error) if error.rpc().is_some() => {
                target.permit.record_success();
                Ok(false)
            }
            Err(error) => {
                let failure = failure::of(&error);
                target.permit.record_failure(failure);
                Err(failure)
            }
        }
    }

    async fn apply_topics(mut self: Box<Self>, topics: ChangeTopics) -> FeedOpenResult {
        let removed: Vec<ChangeTopic> = self.agreed.difference(&topics).cloned().collect();
        for topic in removed {
            if let ChangeTopic::Resource(uri) = &topic {
                // Best effort: later updates of this resource are dropped.
                let _agreed = self
                    .set_subscription(method::RESOURCES_UNSUBSCRIBE, uri)
                    .await;
            }
            self.agreed.remove(&topic);
        }
        let added: Vec<ChangeTopic> = topics.difference(&self.agreed).cloned().collect();
        for topic in added {
            let agrees = match &topic {
                ChangeTopic::Resource(uri) => {
                    self.set_subscription(method::RESOURCES_SUBSCRIBE, uri)
                        .await?
                }
                ChangeTopic::Task(_) => false,
            };
            if agrees {
                self.agreed.insert(topic);
            }
        }
        let feed: Box<dyn ChangeFeed> = self;
        Ok(feed)
    }
}

impl ChangeFeed for LegacyFeed {
    fn agreed(&self) -> &ChangeTopics {
        &self.agreed
    }

    fn next(&mut self) -> BoxedFuture<'_, Option<TopicChange>> {
        Box::pin(async {
            loop {
                let change = tokio::select! {
                    biased;
                    _ = self.touches.tick() => {
                        // Marks the session as used, so that it is not ended as idle.
                        self.feeds.sessions.established(&self.key);
                        continue;
                    }
                    change = self.changes.next() => change,
                };
                match change {
                    Ok(Some(ServerChange::Updated(uri))) => return Some(TopicChange::Updated(uri)),
                    // The control plane watches lists, and legacy servers have no tasks.
                    Ok(Some(
                        ServerChange::Tools
                        | ServerChange::Prompts
                        | ServerChange::Resources
                        | ServerChange::Task(..),
                    )) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        })
    }

    fn change(self: Box<Self>, topics: ChangeTopics) -> BoxedFuture<'static, FeedOpenResult> {
        Box::pin(self.apply_topics(topics))
    }

    fn close(self: Box<Self>) -> BoxedFuture<'static, ()> {
        Box::pin(async move {
            // The session stays open for calls.
            let _closed = self.apply_topics(ChangeTopics::new()).await;
        })
    }
}
