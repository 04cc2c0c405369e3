//! Change feeds of servers: updated resources and progress of tasks. A legacy server sends them on the stream of an
//! upstream session, for subscribed resources; a modern server on a `subscriptions/listen` of the proxy.

mod backlog;
mod legacy;
mod modern;

use std::sync::Arc;

use toolgate_data_core::{
    notify::topic_subscriptions::ChangeTopics,
    port::{
        BoxedFuture, ChangeFeed, ChangeFeedTransport, UpstreamSessionKey, UpstreamSessionProvider,
    },
    refusal::UpstreamFailure,
};
use toolgate_model::Era;

use crate::{
    endpoint::AuthenticatedEndpoint, permit::CallPermit, registry::UpstreamRegistry,
    session::UpstreamSessionHandle, upstream::Upstream,
};

/// Opens feeds with the circuit breakers, credentials and upstream sessions that calls use.
#[derive(Clone)]
pub struct FeedNetwork {
    registry: Arc<UpstreamRegistry>,
    sessions: Arc<dyn UpstreamSessionProvider<UpstreamSessionHandle>>,
}

/// A permitted request to a server.
struct FeedTarget {
    permit: CallPermit,
    authenticated: Arc<AuthenticatedEndpoint>,
}

/// Result of opening a feed.
type FeedOpenResult = Result<Box<dyn ChangeFeed>, UpstreamFailure>;

impl FeedNetwork {
    /// Creates feeds over `registry`, with the sessions of `sessions` for legacy servers.
    pub fn new(
        registry: Arc<UpstreamRegistry>,
        sessions: Arc<dyn UpstreamSessionProvider<UpstreamSessionHandle>>,
    ) -> Self {
        Self { registry, sessions }
    }

    async fn reach(&self, key: &UpstreamSessionKey) -> Result<FeedTarget, UpstreamFailure> {
        let upstream = self.registry.upstream(&key.server)?;
        let permit = upstream.permit()?;
        let authenticated = self
            .registry
            .authenticated_endpoint(&upstream, &key.principal)
            .await?;
        Ok(FeedTarget {
            permit,
            authenticated,
        })
    }
}

impl FeedTarget {
    fn upstream(&self) -> &Arc<Upstream> {
        self.permit.upstream()
    }
}

impl ChangeFeedTransport for FeedNetwork {
    fn open(
        &self,
        key: &UpstreamSessionKey,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, FeedOpenResult> {
        let (feeds, key) = (self.clone(), key.clone());
        Box::pin(async move {
            match key.server.era {
                Some(Era::Modern) => modern::open(feeds, key, topics).await,
                Some(Era::Legacy) | None => legacy::open(feeds, key, topics).await,
            }
        })
    }
}
