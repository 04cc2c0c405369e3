//! Batches the notifications of a feed: a server that reports the same updates repeatedly costs little more than one
//! report of each.

use std::{collections::BTreeSet, future::Future, pin::pin, time::Duration};

use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, sleep_until},
};
use toolgate_data_core::{port::Feed, watch::Told};

/// Interval between two deliveries of updates. The first delivery is immediate.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Number of distinct resources after which a batch is delivered early.
const UPDATES: usize = 256;

/// Size of resource URIs after which a batch is delivered early, in bytes.
const NAMES: usize = 64 * 1024;

/// Result of collecting a batch.
pub(crate) enum Gathering {
    /// Notifications to deliver; may be empty after an interrupt.
    Told(Box<dyn Feed>, Vec<Told>),
    /// The feed has ended. Subscribers are notified of every resource once it is open again.
    Lost,
    /// The proxy is draining.
    Draining(Box<dyn Feed>),
}

/// Updates collected so far.
#[derive(Default)]
struct Updates {
    uris: BTreeSet<Box<str>>,
    bytes: usize,
}

/// Reads the feed until `after`, and beyond that until there is something to deliver. Task notifications are delivered
/// immediately.
pub(crate) async fn gather(
    mut feed: Box<dyn Feed>,
    interrupt: &Notify,
    after: Instant,
    draining: impl Future<Output = ()>,
) -> Gathering {
    let (mut draining, mut interrupted) = (pin!(draining), pin!(interrupt.notified()));
    let mut over = pin!(sleep_until(after));
    let mut updates = Updates::default();
    loop {
        let told = tokio::select! {
            biased;
            () = &mut draining => return Gathering::Draining(feed),
            () = &mut interrupted => return Gathering::Told(feed, updates.told()),
            () = &mut over, if !updates.uris.is_empty() => {
                return Gathering::Told(feed, updates.told());
            }
            told = feed.next() => told,
        };
        match told {
            None => return Gathering::Lost,
            Some(Told::Updated(uri)) => updates.add(uri),
            Some(task @ Told::Task(..)) => {
                let mut told = updates.told();
                told.push(task);
                return Gathering::Told(feed, told);
            }
        }
        if updates.are_many() {
            return Gathering::Told(feed, updates.told());
        }
        // A feed that is always ready must yield to other tasks on this thread.
        consume_budget().await;
    }
}

impl Updates {
    fn add(&mut self, uri: Box<str>) {
        let bytes = uri.len();
        if self.uris.insert(uri) {
            self.bytes += bytes;
        }
    }

    fn are_many(&self) -> bool {
        self.uris.len() >= UPDATES || self.bytes >= NAMES
    }

    fn told(self) -> Vec<Told> {
        self.uris.into_iter().map(Told::Updated).collect()
    }
}

#[cfg(test)]
mod tests;
