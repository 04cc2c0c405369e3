//! Tests that a flood of updates is delivered in intervals and completely.

use std::future::pending;

use toolgate_data_core::{port::Pending, refusal::UpstreamFailure, watch::Topics};

use super::*;

/// Feed that reports updates of this many resources in turn, without an end.
struct Flood {
    resources: usize,
    told: usize,
    topics: Topics,
}

impl Feed for Flood {
    fn agreed(&self) -> &Topics {
        &self.topics
    }

    fn next(&mut self) -> Pending<'_, Option<Told>> {
        self.told += 1;
        let uri = format!("file:///{}", self.told % self.resources);
        Box::pin(async move { Some(Told::Updated(uri.into())) })
    }

    fn change(
        self: Box<Self>,
        _topics: Topics,
    ) -> Pending<'static, Result<Box<dyn Feed>, UpstreamFailure>> {
        Box::pin(async move { Ok(self as Box<dyn Feed>) })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async {})
    }
}

fn flood(resources: usize) -> Box<dyn Feed> {
    let (told, topics) = (0, Topics::new());
    Box::new(Flood {
        resources,
        told,
        topics,
    })
}

async fn told(feed: Box<dyn Feed>, after: Instant) -> (Box<dyn Feed>, Vec<Told>) {
    match gather(feed, &Notify::new(), after, pending()).await {
        Gathering::Told(feed, told) => (feed, told),
        Gathering::Lost | Gathering::Draining(_) => panic!("it has not ended"),
    }
}

#[tokio::test]
async fn a_flood_of_updates_is_handed_over_now_and_then_and_the_first_at_once() {
    let begun = Instant::now();
    let (feed, first) = told(flood(3), begun).await;
    assert!(!first.is_empty());
    assert!(begun.elapsed() < PAUSE);
    let after = Instant::now() + PAUSE;
    let (_feed, gathered) = told(feed, after).await;
    assert_eq!(gathered.len(), 3, "each once");
    assert!(Instant::now() >= after);
}

#[tokio::test]
async fn updates_of_ever_other_resources_are_gathered_up_to_a_bound() {
    let after = Instant::now() + Duration::from_secs(3600);
    let (_feed, gathered) = told(flood(usize::MAX), after).await;
    assert_eq!(gathered.len(), UPDATES);
}

#[tokio::test]
async fn an_interrupt_hands_over_what_was_gathered() {
    let interrupt = Notify::new();
    let after = Instant::now() + Duration::from_secs(3600);
    let later = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        interrupt.notify_one();
    };
    let (gathering, ()) = tokio::join!(gather(flood(3), &interrupt, after, pending()), later);
    let Gathering::Told(_feed, told) = gathering else {
        panic!("it has not ended")
    };
    assert_eq!(told.len(), 3);
}
