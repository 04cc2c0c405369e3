//! What a feed tells, gathered: a server that tells of the same updates again and again costs little more than one that
//! tells of each once.

use std::{collections::BTreeSet, future::Future, pin::pin, time::Duration};

use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, sleep_until},
};
use toolgate_data_core::{port::Feed, watch::Told};

/// Between two times that updates are handed over. The first one does not wait.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Updates of different resources that are gathered before they are handed over early.
const UPDATES: usize = 256;

/// Bytes of their names.
const NAMES: usize = 64 * 1024;

/// How gathering ended.
pub(crate) enum Gathering {
    /// With these; none if it was interrupted.
    Told(Box<dyn Feed>, Vec<Told>),
    /// The feed has ended. Whoever watches is told of everything when there is another one.
    Lost,
    /// This proxy drains.
    Draining(Box<dyn Feed>),
}

/// Updates so far.
#[derive(Default)]
struct Updates {
    uris: BTreeSet<Box<str>>,
    bytes: usize,
}

/// Listens to the feed until `after`, and from then on until something is told. News of a task are never kept back.
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
        // A feed that always has more leaves the others on this thread their turn.
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
