//! Feeds of changes of servers: which of their resources were updated, how far tasks have come. A legacy server tells it on
//! the stream of a link, for what was subscribed to there; a modern one on a `subscriptions/listen` of ours.

mod backlog;
mod legacy;
mod modern;

use std::sync::Arc;

use toolgate_data_core::{
    ServerView,
    notify::topic_subscriptions::ChangeTopics,
    port::{
        BoxedFuture, ChangeFeed, ChangeFeedTransport, UpstreamSessionKey, UpstreamSessionProvider,
    },
    refusal::UpstreamFailure,
};
use toolgate_model::Era;

use crate::{
    station::{Leave, Station},
    upstream::{Presented, Target, Upstream},
};

/// Opens feeds over the same stations, circuits, credentials and links as calls.
#[derive(Clone)]
pub struct Feeds {
    upstream: Arc<Upstream>,
    links: Arc<dyn UpstreamSessionProvider>,
}

/// A server that can be talked to.
struct Reached {
    leave: Leave<Target>,
    presented: Arc<Presented>,
}

type Opening = Result<Box<dyn ChangeFeed>, UpstreamFailure>;

impl Feeds {
    /// Over `upstream`; legacy servers over `links`.
    pub fn new(upstream: Arc<Upstream>, links: Arc<dyn UpstreamSessionProvider>) -> Self {
        Self { upstream, links }
    }

    async fn reach(&self, server: &Arc<ServerView>) -> Result<Reached, UpstreamFailure> {
        let station = self.upstream.station(server)?;
        let leave = station.leave()?;
        let presented = self.upstream.present(&station).await?;
        Ok(Reached { leave, presented })
    }
}

impl Reached {
    fn station(&self) -> &Arc<Station<Target>> {
        self.leave.station()
    }
}

impl ChangeFeedTransport for Feeds {
    fn open(
        &self,
        key: &UpstreamSessionKey,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, Opening> {
        let (feeds, key) = (self.clone(), key.clone());
        Box::pin(async move {
            match key.server.era {
                Some(Era::Modern) => modern::open(feeds, key, topics).await,
                Some(Era::Legacy) | None => legacy::open(feeds, key, topics).await,
            }
        })
    }
}
