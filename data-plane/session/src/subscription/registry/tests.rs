//! Tests that subscriptions report their changes, end with their token or gateway, and leave nothing behind.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use toolgate_model::Timestamp;
use toolgate_runtime::clock::ManualClock;

use super::*;
use crate::fixture::{
    HANG_GUARD, NOW, caller, expiring, gateway, snapshot, until, view, with_tools,
};

const SOON: Duration = Duration::from_millis(300);

struct SubscriptionFixture {
    subscriptions: SubscriptionRegistry,
    clock: Arc<ManualClock>,
    view: View,
}

impl SubscriptionFixture {
    fn new() -> Self {
        let clock = ManualClock::new(NOW);
        let timing = StreamTiming {
            keep_alive: Duration::from_millis(100),
            debounce: Duration::from_millis(50),
            notice_interval: Duration::from_millis(50),
        };
        let system = ActorSystem::start(1).unwrap();
        let shared = Arc::<ManualClock>::clone(&clock);
        Self {
            subscriptions: SubscriptionRegistry::with_timing(
                system,
                shared,
                SUBSCRIPTIONS_PER_PRINCIPAL,
                timing,
            ),
            clock,
            view: with_tools(&["one"]),
        }
    }

    fn open(&self, id: &str, token: &str) -> Result<PendingSubscription, Refusal> {
        self.subscriptions.open(SubscriptionRequest {
            id,
            gateway: gateway(&self.view),
            caller: &caller(&self.view, token),
        })
    }

    /// Opens and acknowledges a subscription to the list of tools.
    async fn listen(&self, id: &str, token: &str) -> SessionEventStream {
        let opened = self.open(id, token).unwrap();
        let mut stream = opened.acknowledge(tools()).unwrap();
        let first = event(&mut stream).await.unwrap();
        assert!(first.contains("acknowledged"), "{first}");
        stream
    }

    fn changed(&self, before: &View, after: &View) {
        let mut views = ViewComparison::new(before, after);
        self.subscriptions.view_changed(&mut views);
    }
}

fn tools() -> SubscriptionFilter {
    SubscriptionFilter::read(br#"{"toolsListChanged":true}"#).unwrap()
}

async fn event(stream: &mut SessionEventStream) -> Option<String> {
    loop {
        let next = timeout(HANG_GUARD, stream.next()).await;
        let text = String::from_utf8(next.unwrap()?.to_vec()).unwrap();
        if !text.starts_with(':') {
            return Some(text);
        }
    }
}

#[tokio::test]
async fn coalesced_changes_are_sent_once_to_each_subscription_under_its_id() {
    let bench = SubscriptionFixture::new();
    let mut one = bench.listen("\"x\"", "ada").await;
    let mut two = bench.listen("7", "ada").await;
    let after = with_tools(&["one", "two"]);
    bench.changed(&bench.view, &after);
    bench.changed(&after, &with_tools(&["one", "two", "three"]));
    for (stream, id) in [(&mut one, "\"x\""), (&mut two, "7")] {
        let notification = event(stream).await.unwrap();
        assert!(
            notification.contains("notifications/tools/list_changed"),
            "{notification}"
        );
        let tag = format!("subscriptionId\":{id}}}");
        assert!(notification.contains(&tag), "{notification}");
        assert!(timeout(SOON, event(stream)).await.is_err());
    }
    assert_eq!(bench.subscriptions.count(), 2);
    drop((one, two));
    assert_eq!(bench.subscriptions.count(), 0);
}

#[tokio::test]
async fn a_quiet_stream_sends_keepalives() {
    let bench = SubscriptionFixture::new();
    let mut stream = bench.listen("1", "ada").await;
    for _ in 0..3 {
        let alive = timeout(HANG_GUARD, stream.next()).await;
        assert_eq!(alive.unwrap().unwrap(), ": \n\n");
    }
}

#[tokio::test]
async fn a_removed_token_or_gateway_ends_the_subscription_with_its_response() {
    let bench = SubscriptionFixture::new();
    let mut ada = bench.listen("1", "ada").await;
    let mut bob = bench.listen("2", "bob").await;
    let without = view(&snapshot("https://old.example/mcp", "Main", &["ada"]));
    bench.changed(&bench.view, &without);
    let last = event(&mut bob).await.unwrap();
    assert!(
        last.contains(r#""id":2,"result":{"resultType":"complete""#),
        "{last}"
    );
    assert_eq!(event(&mut bob).await, None);
    assert!(event(&mut ada).await.unwrap().contains("list_changed"));
    bench.changed(&without, &View::empty());
    assert!(
        event(&mut ada)
            .await
            .unwrap()
            .contains(r#""id":1,"result""#)
    );
    assert_eq!(event(&mut ada).await, None);
}

#[tokio::test]
async fn token_expiry_ends_the_subscription() {
    let mut bench = SubscriptionFixture::new();
    bench.view = expiring("ada", Timestamp(NOW.0 + 60_000));
    let mut stream = bench.listen("1", "ada").await;
    bench.clock.advance(Duration::from_secs(59));
    assert!(timeout(SOON, event(&mut stream)).await.is_err());
    bench.clock.advance(Duration::from_secs(1));
    assert!(event(&mut stream).await.unwrap().contains("\"result\""));
    assert_eq!(event(&mut stream).await, None);
}

#[tokio::test]
async fn changes_before_the_acknowledgement_are_sent_after_it() {
    let bench = SubscriptionFixture::new();
    let opened = bench.open("1", "ada").unwrap();
    opened.mark_changed().unwrap();
    let mut stream = opened.acknowledge(tools()).unwrap();
    assert!(event(&mut stream).await.unwrap().contains("acknowledged"));
    assert!(
        event(&mut stream)
            .await
            .unwrap()
            .contains("tools/list_changed")
    );
}

#[tokio::test]
async fn subscriptions_are_limited_per_principal() {
    let bench = SubscriptionFixture::new();
    let mut held = Vec::new();
    for _ in 0..SUBSCRIPTIONS_PER_PRINCIPAL {
        held.push(bench.open("1", "ada").unwrap());
    }
    let refused = bench.open("1", "ada").unwrap_err();
    assert_eq!(refused, Refusal::TooManyOpen("subscriptions"));
    assert!(bench.open("1", "bob").is_ok());
    held.pop();
    assert!(bench.open("1", "ada").is_ok());
    drop(held);
    until("all are forgotten", || bench.subscriptions.count() == 0).await;
}
