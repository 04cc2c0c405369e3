//! Recovery of endpoints that calls avoid. The proxy pings them, so that a recovery shows without a call, and calls go back to
//! a preferred endpoint.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};
use toolgate_model::Era;
use toolgate_runtime::{Drain, backoff::Backoff, random};

use crate::{
    endpoint::{AuthenticatedEndpoint, CallTarget},
    recovery::ping_endpoint,
};

/// Minimum pause between two pings of an endpoint.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// First and longest time that is added to the pause at random.
const ADDED_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// Server as the watch of its endpoints sees it.
pub(crate) trait EndpointOwner: Send + Sync + 'static {
    /// Marks the endpoints as watched. Returns `false` if they are watched already.
    fn begin_endpoint_watch(&self) -> bool;

    /// Ends the mark.
    fn end_endpoint_watch(&self);

    /// Records that an endpoint answers a ping.
    fn record_endpoint_ping(&self, endpoint: &AuthenticatedEndpoint);

    /// Returns the endpoints.
    fn endpoint_target(&self) -> &CallTarget;

    /// Returns the era of the server.
    fn endpoint_era(&self) -> Era;

    /// Returns the drain, which ends the watch.
    fn endpoint_drain(&self) -> &Drain;
}

/// Watch of the endpoints of one server. At most one exists for a server.
struct EndpointWatch<S: EndpointOwner>(Weak<S>);

/// Watches the endpoints of a server that fail, unless they are watched already.
pub(crate) fn watch<S: EndpointOwner>(server: &Arc<S>) {
    if Handle::try_current().is_err() || !server.begin_endpoint_watch() {
        return;
    }
    let watch = EndpointWatch(Arc::downgrade(server));
    let settled = server.endpoint_drain().settled();
    drop(server.endpoint_drain().spawn_unguarded(async move {
        tokio::select! {
            () = settled => {}
            () = watch.run() => {}
        }
    }));
}

impl<S: EndpointOwner> EndpointWatch<S> {
    /// Pings the endpoints that fail until none does, or the server is no longer used.
    async fn run(self) {
        let (first, longest) = ADDED_PAUSE;
        let mut added = Backoff::new(first, longest);
        loop {
            sleep(MIN_PAUSE + added.next(random::number())).await;
            let Some(server) = self.0.upgrade() else {
                return;
            };
            let (target, era) = (server.endpoint_target(), server.endpoint_era());
            for endpoint in target.failing() {
                if ping_endpoint(target, &endpoint, era).await.is_ok() {
                    server.record_endpoint_ping(&endpoint);
                }
            }
            if !target.observed.has_failing() {
                // An endpoint that fails from here on is watched anew.
                drop(self);
                if target.observed.has_failing() {
                    watch(&server);
                }
                return;
            }
        }
    }
}

impl<S: EndpointOwner> Drop for EndpointWatch<S> {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            server.end_endpoint_watch();
        }
    }
}
