//! Change feed of a modern server: one `subscriptions/listen`, which is replaced when its topics change.

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

use super::{FeedNetwork, FeedOpenResult, backlog::FeedBacklog};

/// Maximum number of changes that are read of a feed before it is replaced.
const MAX_DRAINED: usize = 10_000;

struct ModernFeed {
    feeds: FeedNetwork,
    key: UpstreamSessionKey,
    changes: ServerChangeFeed,
    agreed: ChangeTopics,
    /// Unread changes of the previous feed.
    backlog: FeedBacklog,
}

pub(super) async fn open(
    feeds: FeedNetwork,
    key: UpstreamSessionKey,
    topics: ChangeTopics,
) -> FeedOpenResult {
    let (changes, agreed) = begin(&feeds, &key, &topics).await?;
    Ok(Box::new(ModernFeed {
        feeds,
        key,
        changes,
        agreed,
        backlog: FeedBacklog::default(),
    }))
}

async fn begin(
    feeds: &FeedNetwork,
    key: &UpstreamSessionKey,
    topics: &ChangeTopics,
) -> Result<(ServerChangeFeed, ChangeTopics), UpstreamFailure> {
    let mut target = feeds.reach(key).await?;
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
    let (http, endpoint) = (
        &target.upstream().target.http,
        &target.authenticated.endpoint,
    );
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
            target.permit.record_success();
            opened.ok_or(UpstreamFailure::Status)
        }
        Ok(Err(error)) => {
            let failure = failure::of(&error);
            tracing::debug!(server = %key.server.name, %error, "no feed of changes");
            if error.rpc().is_none() {
                target.permit.record_failure(failure);
            }
            Err(failure)
        }
        Err(_elapsed) => {
            target.permit.record_failure(UpstreamFailure::Timeout);
            Err(UpstreamFailure::Timeout)
        }
    }
}

/// Builds the filter of the subscription.
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

/// Converts a change of a watched topic. The control plane watches lists.
fn topic_change(change: ServerChange) -> Option<TopicChange> {
    match change {
        ServerChange::Updated(uri) => Some(TopicChange::Updated(uri)),
        ServerChange::Task(id, params) => {
            rewrite::bounded_task_params(&params).map(|notice| TopicChange::Task(id, notice))
        }
        ServerChange::Tools | ServerChange::Prompts | ServerChange::Resources => None,
    }
}

impl ModernFeed {
    /// Moves the changes that were received already to the backlog.
    fn drain(&mut self) {
        for _ in 0..MAX_DRAINED {
            let Some(change) = self.changes.next_buffered() else {
                break;
            };
            if let Some(change) = topic_change(change) {
                self.backlog.push(change);
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
            if let Some(change) = self.backlog.pop() {
                return Some(change);
            }
            loop {
                match self
                    .changes
                    .next()
                    .await
                    .map(|change| change.map(topic_change))
                {
                    Ok(Some(Some(change))) => return Some(change),
                    Ok(Some(None)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        })
    }

    fn change(mut self: Box<Self>, topics: ChangeTopics) -> BoxedFuture<'static, FeedOpenResult> {
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
        // Dropping the stream ends the subscription.
        Box::pin(async {})
    }
}
