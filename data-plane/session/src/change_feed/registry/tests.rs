//! Tests that a change feed is removed from the registry when it ends, also after its server was changed, and that a
//! subscription does not outlast the right to it.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Semaphore;

use toolgate_data_core::{
    notify::topic_subscriptions::{ChangeTopics, TopicChange},
    notify::view_change::ViewComparison,
    port::{BoxedFuture, ChangeFeed},
};
use toolgate_model::{
    AllowList, ResourceKey, SnapshotResource, SnapshotResourceKind, UriMode,
    snapshot::{DefinitionsResource, SnapshotEntry},
};
use toolgate_runtime::{clock::ManualClock, drain};

use super::*;
use crate::{
    SESSIONS_PER_PRINCIPAL, SessionContext, SessionRegistry,
    fixture::{NOW, caller, claims, gateway, name, slug, snapshot, until, view},
};

const URI: &str = "file:///a";
const URL: &str = "https://old.example/mcp";
const OTHER_URL: &str = "https://new.example/mcp";

/// Records the URL of each feed that is opened. Servers answer one at a time, with the permit of `answers`.
#[derive(Clone)]
struct RecordingTransport {
    opened: Arc<Mutex<Vec<String>>>,
    answers: Arc<Semaphore>,
}

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
        self.opened
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
        self.opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(url);
        let answers = Arc::clone(&self.answers);
        Box::pin(async move {
            let _answered = answers.acquire().await;
            Ok(Box::new(QuietFeed(topics)) as Box<dyn ChangeFeed>)
        })
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
        let transport = RecordingTransport {
            opened: Arc::default(),
            answers: Arc::new(Semaphore::new(1)),
        };
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
    async fn subscribe(&self, view: &Arc<View>) {
        self.subscribe_meanwhile(view, view).await;
    }

    /// Subscribes a session to the resource under `before`, while `after` becomes the current view.
    async fn subscribe_meanwhile(&self, before: &View, after: &Arc<View>) {
        let target = gateway(before).locate(URI).unwrap();
        let context = SessionContext {
            claims: &claims(1),
            gateway: gateway(before),
            caller: &caller(before, "ada"),
        };
        let subscribed = self
            .sessions
            .subscribe_resource(context, &target, &self.feeds, || Arc::clone(after));
        subscribed.await.unwrap();
    }
}

/// A view with a server at `url`, whose resources the gateway offers.
fn server_at(url: &str) -> Arc<View> {
    offering(url, &AllowList::All)
}

/// The same view with tokens that reach these tools only.
fn offering(url: &str, reach: &AllowList<String>) -> Arc<View> {
    let mut snapshot = snapshot(url, "Main", &["ada"]);
    let catalogue = DefinitionsResource {
        capabilities: r#"{"resources":{"subscribe":true}}"#.to_owned(),
        ..DefinitionsResource::default()
    };
    let key = ResourceKey {
        kind: SnapshotResourceKind::Catalogue,
        name: name("old"),
    };
    let catalogue = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue));
    snapshot.entries.insert(key, catalogue);
    snapshot.entries.update_each(|_key, entry| {
        let changed = match (*entry.resource).clone() {
            SnapshotResource::Gateway(mut gateway) => {
                gateway.resources = vec![slug("old")];
                gateway.uris = UriMode::Through;
                SnapshotResource::Gateway(gateway)
            }
            SnapshotResource::Token(mut token) => {
                token.tools = reach.clone();
                SnapshotResource::Token(token)
            }
            other @ (SnapshotResource::Server(_) | SnapshotResource::Catalogue(_)) => other,
        };
        *entry = SnapshotEntry::new(changed);
    });
    Arc::new(view(&snapshot))
}

#[tokio::test]
async fn a_right_that_ends_while_the_server_is_asked_ends_the_subscription() {
    let before = server_at(URL);
    let limited = AllowList::Only(vec!["read".to_owned()]);
    let restricted = offering(URL, &limited);
    let removed = Arc::new(View::empty());
    for after in [restricted, removed] {
        let bench = FeedFixture::new();
        let answers = &bench.transport.answers;
        let held = answers.acquire().await.unwrap();
        let subscribing = bench.subscribe_meanwhile(&before, &after);
        let changing = async {
            until("the server is asked", || {
                !bench.transport.opened().is_empty()
            })
            .await;
            bench
                .sessions
                .view_changed(&mut ViewComparison::new(&before, &after));
            drop(held);
        };
        tokio::join!(subscribing, changing);
        until("the feed is forgotten", || bench.feeds.count() == 0).await;
    }
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
