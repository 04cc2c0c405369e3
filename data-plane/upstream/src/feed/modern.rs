//! A feed of a modern server: one `subscriptions/listen`, opened anew when it is to tell of others.

use tokio::time::timeout;
use toolgate_client::{ServerChange, ServerChangeFeed, listen, next_id};
use toolgate_data_core::{
    notify::{
        subscription::SubscriptionFilter,
        topic_subscriptions::{ChangeTopic, ChangeTopics, TopicChange},
    },
    port::{BoxedFuture, ChangeFeed, UpstreamSessionKey},
    refusal::UpstreamFailure,
    rewrite,
    session::session_id::ClientCapabilities,
};
use toolgate_mcp::{message::ModernRequestMeta, versions};

use crate::failure;

use super::{Feeds, Opening, backlog::Backlog};

/// What is read at most of a feed that another one takes the place of.
const DRAINED: usize = 10_000;

struct ModernFeed {
    feeds: Feeds,
    key: UpstreamSessionKey,
    changes: ServerChangeFeed,
    agreed: ChangeTopics,
    /// Told by the feed before this one, and not yet heard.
    backlog: Backlog,
}

pub(super) async fn open(feeds: Feeds, key: UpstreamSessionKey, topics: ChangeTopics) -> Opening {
    let (changes, agreed) = begin(&feeds, &key, &topics).await?;
    Ok(Box::new(ModernFeed {
        feeds,
        key,
        changes,
        agreed,
        backlog: Backlog::default(),
    }))
}

async fn begin(
    feeds: &Feeds,
    key: &UpstreamSessionKey,
    topics: &ChangeTopics,
) -> Result<(ServerChangeFeed, ChangeTopics), UpstreamFailure> {
    let mut reached = feeds.reach(&key.server).await?;
    let filter = filter(topics);
    let follows = !filter.tasks.is_empty();
    let capabilities = follows.then(|| ClientCapabilities::TASKS.to_json());
    let meta = ModernRequestMeta {
        version: versions::MODERN,
        capabilities: capabilities.as_deref().unwrap_or("{}"),
        client: Some(rewrite::CLIENT_INFO),
        progress_token: None,
        log_level: None,
        forwarded: None,
    };
    let id = next_id().to_string();
    let (http, endpoint) = (&reached.station().target.http, &reached.presented.endpoint);
    let opening = async {
        let Some(mut changes) = listen(http, endpoint, &id, &filter.to_json(), &meta).await? else {
            return Ok(None);
        };
        let agreed = changes.acknowledged().await?;
        let resources = agreed.uris.into_iter().map(ChangeTopic::Resource);
        let tasks = agreed.tasks.into_iter().map(ChangeTopic::Task);
        Ok(Some((changes, resources.chain(tasks).collect())))
    };
    let opened = timeout(key.server.timeouts.first_byte, opening).await;
    match opened {
        Ok(Ok(opened)) => {
            reached.leave.worked();
            opened.ok_or(UpstreamFailure::Status)
        }
        Ok(Err(error)) => {
            let failure = failure::of(&error);
            tracing::debug!(server = %key.server.name, %error, "no feed of changes");
            if error.rpc().is_none() {
                reached.leave.failed(failure);
            }
            Err(failure)
        }
        Err(_elapsed) => {
            reached.leave.failed(UpstreamFailure::Timeout);
            Err(UpstreamFailure::Timeout)
        }
    }
}

/// What is asked of the server.
fn filter(topics: &ChangeTopics) -> SubscriptionFilter {
    let mut filter = SubscriptionFilter::default();
    for topic in topics {
        match topic {
            ChangeTopic::Resource(uri) => filter.uris.insert(uri.clone()),
            ChangeTopic::Task(id) => filter.tasks.insert(id.clone()),
        };
    }
    filter
}

/// What of it concerns those who watch. Lists are watched by the control plane.
fn told(change: ServerChange) -> Option<TopicChange> {
    match change {
        ServerChange::Updated(uri) => Some(TopicChange::Updated(uri)),
        ServerChange::Task(id, params) => {
            rewrite::bounded_task_params(&params).map(|notice| TopicChange::Task(id, notice))
        }
        ServerChange::Tools | ServerChange::Prompts | ServerChange::Resources => None,
    }
}

impl ModernFeed {
    /// What it has told already.
    fn drain(&mut self) {
        for _ in 0..DRAINED {
            let Some(change) = self.changes.next_buffered() else {
                break;
            };
            if let Some(told) = told(change) {
                self.backlog.push(told);
            }
        }
    }
}

impl ChangeFeed for ModernFeed {
    fn agreed(&self) -> &ChangeTopics {
        &self.agreed
    }

    fn next(&mut self) -> BoxedFuture<'_, Option<TopicChange>> {
        Box::pin(async {
            if let Some(told) = self.backlog.pop() {
                return Some(told);
            }
            loop {
                match self.changes.next().await.map(|change| change.map(told)) {
                    Ok(Some(Some(told))) => return Some(told),
                    Ok(Some(None)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        })
    }

    fn change(mut self: Box<Self>, topics: ChangeTopics) -> BoxedFuture<'static, Opening> {
        Box::pin(async move {
            let (changes, agreed) = begin(&self.feeds, &self.key, &topics).await?;
            self.drain();
            self.changes = changes;
            self.agreed = agreed;
            let feed: Box<dyn ChangeFeed> = self;
            Ok(feed)
        })
    }

    fn close(self: Box<Self>) -> BoxedFuture<'static, ()> {
        // A closed stream says it all.
        Box::pin(async {})
    }
}
