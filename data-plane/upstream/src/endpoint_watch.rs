//! Recovery of endpoints that calls avoid. The proxy pings them, so that a recovery shows without a call, and calls go back to
//! a preferred endpoint.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};
use toolgate_model::Era;
use toolgate_runtime::{backoff::Backoff, random};

use crate::{recovery::ping_endpoint, upstream::Upstream};

/// Minimum pause between two pings of an endpoint.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// First and longest time that is added to the pause at random.
const ADDED_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// Watch of the endpoints of one server. At most one exists for a server.
struct EndpointWatch(Weak<Upstream>);

/// Watches the endpoints of a server that fail, unless they are watched already.
pub(crate) fn watch(server: &Arc<Upstream>) {
    let begins = || !server.are_endpoints_watched.swap(true, Ordering::AcqRel);
    if Handle::try_current().is_err() || !begins() {
        return;
    }
    let watch = EndpointWatch(Arc::downgrade(server));
    let settled = server.drain.settled();
    drop(server.drain.spawn_unguarded(async move {
        tokio::select! {
            () = settled => {}
            () = watch.run() => {}
        }
    }));
}

impl EndpointWatch {
    /// Pings the endpoints that fail until none does, or the server is no longer used.
    async fn run(self) {
        let (first, longest) = ADDED_PAUSE;
        let mut added = Backoff::new(first, longest);
        loop {
            sleep(MIN_PAUSE + added.next(random::number())).await;
            let Some(server) = self.0.upgrade() else {
                return;
            };
            let era = server.server.era.unwrap_or(Era::Legacy);
            for endpoint in server.target.failing() {
                if ping_endpoint(&server.target, &endpoint, era).await.is_ok() {
                    server.record_endpoint_ping(&endpoint);
                }
            }
            if !server.target.observed.has_failing() {
                // An endpoint that fails from here on is watched anew.
                drop(self);
                if server.target.observed.has_failing() {
                    watch(&server);
                }
                return;
            }
        }
    }
}

impl Drop for EndpointWatch {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            server.are_endpoints_watched.store(false, Ordering::Release);
        }
    }
}
