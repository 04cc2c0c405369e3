//! Tests that a flood of updates is delivered in intervals and completely.

use std::future::pending;

use toolgate_data_core::{
    notify::topic_subscriptions::ChangeTopics, port::BoxedFuture, refusal::UpstreamFailure,
};

use super::*;

/// Feed that reports updates of this many resources in turn, without an end.
struct FloodingFeed {
    resources: usize,
    reported: usize,
    topics: ChangeTopics,
}

impl ChangeFeed for FloodingFeed {
    fn agreed(&self) -> &ChangeTopics {
        &self.topics
    }

    fn next(&mut self) -> BoxedFuture<'_, Option<TopicChange>> {
        self.reported += 1;
        let uri = format!("file:///{}", self.reported % self.resources);
        Box::pin(async move { Some(TopicChange::Updated(uri.into())) })
    }

    fn change(
        self: Box<Self>,
        _topics: ChangeTopics,
    ) -> BoxedFuture<'static, Result<Box<dyn ChangeFeed>, UpstreamFailure>> {
        Box::pin(async move { Ok(self as Box<dyn ChangeFeed>) })
    }

    fn close(self: Box<Self>) -> BoxedFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn flood(resources: usize) -> Box<dyn ChangeFeed> {
    let (reported, topics) = (0, ChangeTopics::new());
    Box::new(FloodingFeed {
        resources,
        reported,
        topics,
    })
}

async fn collect(
    feed: Box<dyn ChangeFeed>,
    after: Instant,
) -> (Box<dyn ChangeFeed>, Vec<TopicChange>) {
    match collect_batch(feed, &Notify::new(), after, pending()).await {
        BatchOutcome::Batch(feed, changes) => (feed, changes),
        BatchOutcome::FeedClosed | BatchOutcome::Draining(_) => panic!("it has not ended"),
    }
}

#[tokio::test]
async fn the_first_update_is_delivered_immediately_and_a_flood_in_batches() {
    let (feed, first) = collect(flood(3), Instant::now() - BATCH_INTERVAL).await;
    // A batcher that waits for a pause would return all three, because the flood never ends.
    assert_eq!(first.len(), 1, "the first at once");
    let after = Instant::now() + BATCH_INTERVAL;
    let (_feed, gathered) = collect(feed, after).await;
    assert_eq!(gathered.len(), 3, "each once");
    assert!(Instant::now() >= after);
}

#[tokio::test]
async fn batched_updates_of_distinct_resources_are_bounded() {
    let after = Instant::now() + Duration::from_secs(3600);
    let (_feed, gathered) = collect(flood(usize::MAX), after).await;
    assert_eq!(gathered.len(), MAX_BATCH_UPDATES);
}

#[tokio::test]
async fn an_interrupt_delivers_the_current_batch() {
    let interrupt = Notify::new();
    let after = Instant::now() + Duration::from_secs(3600);
    let later = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        interrupt.notify_one();
    };
    let (gathering, ()) =
        tokio::join!(collect_batch(flood(3), &interrupt, after, pending()), later);
    let BatchOutcome::Batch(_feed, changes) = gathering else {
        panic!("it has not ended")
    };
    assert_eq!(changes.len(), 3);
}
