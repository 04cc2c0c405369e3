//! Tests that a change feed is removed from the registry when it ends, also after its server was changed.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use toolgate_data_core::{
    notify::topic_subscriptions::{ChangeTopics, TopicChange},
    plan::ResourceTarget,
    port::{BoxedFuture, ChangeFeed},
};
use toolgate_runtime::{clock::ManualClock, drain};

use super::*;
use crate::{
    SESSIONS_PER_PRINCIPAL, SessionContext, SessionRegistry,
    fixture::{NOW, caller, claims, gateway, name, snapshot, until, view},
};

const URI: &str = "file:///a";
const URL: &str = "https://old.example/mcp";
const OTHER_URL: &str = "https://new.example/mcp";

/// Records the URL of each feed that is opened.
#[derive(Clone, Default)]
struct RecordingTransport(Arc<Mutex<Vec<String>>>);

/// Feed without changes.
struct QuietFeed(ChangeTopics);

struct FeedFixture {
    feeds: ChangeFeeds,
    sessions: SessionRegistry,
    transport: RecordingTransport,
    _trigger: drain::DrainTrigger,
}

impl RecordingTransport {
    fn opened(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ChangeFeedTransport for RecordingTransport {
    fn open(
        &self,
        key: &UpstreamSessionKey,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, Result<Box<dyn ChangeFeed>, UpstreamFailure>> {
        let url = key.server.endpoints.first().url.to_string();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(url);
        Box::pin(async move { Ok(Box::new(QuietFeed(topics)) as Box<dyn ChangeFeed>) })
    }
}

impl ChangeFeed for QuietFeed {
    fn agreed(&self) -> &ChangeTopics {
        &self.0
    }

    fn next(&mut self) -> BoxedFuture<'_, Option<TopicChange>> {
        Box::pin(pending())
    }

    fn change(
        self: Box<Self>,
        topics: ChangeTopics,
    ) -> BoxedFuture<'static, Result<Box<dyn ChangeFeed>, UpstreamFailure>> {
        Box::pin(async move { Ok(Box::new(QuietFeed(topics)) as Box<dyn ChangeFeed>) })
    }

    fn close(self: Box<Self>) -> BoxedFuture<'static, ()> {
        Box::pin(async {})
    }
}

impl FeedFixture {
    fn new() -> Self {
        let system = ActorSystem::start(1).unwrap();
        let transport = RecordingTransport::default();
        let (drain, trigger) = drain::new();
        Self {
            feeds: ChangeFeeds::new(
                Arc::new(transport.clone()),
                system.clone(),
                drain,
                CHANGE_FEEDS_PER_PRINCIPAL,
            ),
            sessions: SessionRegistry::new(system, ManualClock::new(NOW), SESSIONS_PER_PRINCIPAL),
            transport,
            _trigger: trigger,
        }
    }

    /// Subscribes a session to the resource.
    async fn subscribe(&self, view: &View) {
        let server = Arc::clone(view.server(&name("old")).unwrap());
        let target = ResourceTarget {
            server,
            exposed: URI.into(),
            original: URI.into(),
            original_json: format!("{URI:?}").into(),
        };
        let context = SessionContext {
            claims: &claims(1),
            gateway: gateway(view),
            caller: &caller(view, "ada"),
        };
        let subscribed = self
            .sessions
            .subscribe_resource(context, &target, &self.feeds);
        subscribed.await.unwrap();
    }
}

fn server_at(url: &str) -> View {
    view(&snapshot(url, "Main", &["ada"]))
}

#[tokio::test]
async fn a_feed_of_a_changed_server_is_forgotten_when_it_ends() {
    let (before, after) = (server_at(URL), server_at(OTHER_URL));
    let endings: [fn(&FeedFixture); 3] = [
        |bench| bench.sessions.unsubscribe_resource(&claims(1), URI),
        |bench| bench.feeds.view_changed(&View::empty()),
        |bench| bench.feeds.end_all(),
    ];
    for end in endings {
        let bench = FeedFixture::new();
        bench.subscribe(&before).await;
        bench.feeds.view_changed(&after);
        let reopened = || bench.transport.opened() == [URL, OTHER_URL];
        until("the feed is open at the changed server", reopened).await;
        assert_eq!(bench.feeds.count(), 1);
        end(&bench);
        until("the feed is forgotten", || bench.feeds.count() == 0).await;
        bench.sessions.unsubscribe_resource(&claims(1), URI);
        bench.subscribe(&before).await;
        assert_eq!(bench.transport.opened(), [URL, OTHER_URL, URL]);
        assert_eq!(bench.feeds.count(), 1);
    }
}
