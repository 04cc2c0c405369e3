//! A feed of a legacy server: the stream of a link, and what is subscribed to there.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use toolgate_client::{ClientError, ServerChange, ServerChangeFeed, ask, session_changes};
use toolgate_data_core::{
    notify::topic_subscriptions::{ChangeTopic, ChangeTopics, TopicChange},
    port::{BoxedFuture, ChangeFeed, UpstreamSessionHandle, UpstreamSessionKey},
    refusal::UpstreamFailure,
};
use toolgate_mcp::{message, method, text::quote};

use crate::{
    failure,
    flight::{is_lost, session_headers},
};

use super::{Feeds, Opening, Reached};

/// How often a link is told that it is in use.
const TOUCH: Duration = Duration::from_secs(60);

struct LegacyFeed {
    feeds: Feeds,
    key: UpstreamSessionKey,
    link: Arc<UpstreamSessionHandle>,
    changes: ServerChangeFeed,
    agreed: ChangeTopics,
}

pub(super) async fn open(feeds: Feeds, key: UpstreamSessionKey, topics: ChangeTopics) -> Opening {
    let mut link = feeds.links.open(&key).await?;
    if is_lost(&link) {
        link = feeds.links.reopen(&key, &link).await?;
    }
    let mut reached = feeds.reach(&key.server).await?;
    let mut opened = stream(&reached, &link).await;
    if forgotten(&opened) {
        link = feeds.links.reopen(&key, &link).await?;
        opened = stream(&reached, &link).await;
    }
    let changes = opened.map_err(|error| {
        let failure = failure::of(&error);
        tracing::debug!(server = %key.server.name, %error, "no stream of changes");
        reached.leave.failed(failure);
        failure
    })?;
    reached.leave.worked();
    drop(reached);
    let feed = LegacyFeed {
        feeds,
        key,
        link,
        // A server without such a stream has no way to tell of updates.
        changes: changes.ok_or(UpstreamFailure::Status)?,
        agreed: ChangeTopics::new(),
    };
    Box::new(feed).change(topics).await
}

async fn stream(
    reached: &Reached,
    link: &UpstreamSessionHandle,
) -> Result<Option<ServerChangeFeed>, ClientError> {
    let http = &reached.station().target.http;
    let presented = Arc::clone(&reached.presented).inside(Some(link));
    session_changes(http, &presented.endpoint, session_headers(link)).await
}

/// Whether the server does not know our session any more.
fn forgotten<T>(outcome: &Result<T, ClientError>) -> bool {
    matches!(outcome, Err(ClientError::Status(problem)) if problem.status.as_u16() == 404)
}

impl LegacyFeed {
    /// Asks for updates of a resource, or for no more of them; whether the server agrees.
    async fn say(&self, method: &str, uri: &str) -> Result<bool, UpstreamFailure> {
        let mut reached = self.feeds.reach(&self.key.server).await?;
        let id = self.link.next_id().to_string();
        let params = format!("{{\"uri\":{}}}", quote(uri));
        let request = message::request(&id, method, Some(&params));
        let presented = Arc::clone(&reached.presented).inside(Some(&self.link));
        let endpoint = presented.endpoint.clone();
        let endpoint = endpoint.with_max_timeout(self.key.server.timeouts.first_byte);
        let http = &reached.station().target.http;
        let asked = ask(http, &endpoint, session_headers(&self.link), &id, request).await;
        match asked {
            Ok(()) => {
                reached.leave.worked();
                Ok(true)
            }
            // It answered, and does not want to.
            Err(error) if error.rpc().is_some() => {
                reached.leave.worked();
                Ok(false)
            }
            Err(error) => {
                let failure = failure::of(&error);
                reached.leave.failed(failure);
                Err(failure)
            }
        }
    }

    async fn changed(mut self: Box<Self>, topics: ChangeTopics) -> Opening {
        let gone: Vec<ChangeTopic> = self.agreed.difference(&topics).cloned().collect();
        for topic in gone {
            if let ChangeTopic::Resource(uri) = &topic {
                // Whether it heard or not: nobody is told any more.
                let _told = self.say(method::RESOURCES_UNSUBSCRIBE, uri).await;
            }
            self.agreed.remove(&topic);
        }
        let more: Vec<ChangeTopic> = topics.difference(&self.agreed).cloned().collect();
        for topic in more {
            let agrees = match &topic {
                ChangeTopic::Resource(uri) => self.say(method::RESOURCES_SUBSCRIBE, uri).await?,
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
                // Looked at now and then, so that the link is not taken for one that nobody uses.
                let Ok(heard) = timeout(TOUCH, self.changes.next()).await else {
                    self.feeds.links.established(&self.key);
                    continue;
                };
                match heard {
                    Ok(Some(ServerChange::Updated(uri))) => return Some(TopicChange::Updated(uri)),
                    // Lists are watched by the control plane, and there are no tasks.
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

    fn change(self: Box<Self>, topics: ChangeTopics) -> BoxedFuture<'static, Opening> {
        Box::pin(self.changed(topics))
    }

    fn close(self: Box<Self>) -> BoxedFuture<'static, ()> {
        Box::pin(async move {
            // The link lives on, for others.
            let _nobody_waits = self.changed(ChangeTopics::new()).await;
        })
    }
}
