//! Recovery of a server whose circuit is open. The proxy pings it, so that its recovery shows without a call.
//!
//! A ping is less than a call: some servers answer pings while their calls fail. A ping that is answered therefore closes
//! the circuit only if pings failed before, or if the circuit opened because connections could not be made or broke.
//! Otherwise the server is no longer reported as failing once a call may try it, and the outcome of that call decides.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};
use toolgate_client::{ClientError, ping};
use toolgate_data_core::{call::verdict, refusal::UpstreamFailure};
use toolgate_model::Era;
use toolgate_runtime::{Drain, backoff::Backoff, random};

use crate::{
    endpoint::{AuthenticatedEndpoint, CallTarget},
    failure,
};

/// Minimum pause between two pings.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// First and longest time that is added to the pause at random.
const ADDED_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Maximum time of one ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Server as its watch sees it.
pub(crate) trait WatchedServer: Send + Sync + 'static {
    /// Marks the server as watched. Returns `false` if it is watched already.
    fn begin_watch(&self) -> bool;

    /// Ends the mark.
    fn end_watch(&self);

    /// Reports if the circuit is open or half open.
    fn is_circuit_open(&self) -> bool;

    /// Reports if the next call is to try whether the server answers again.
    fn is_probe_due(&self) -> bool;

    /// Records that the server answers pings again.
    fn record_ping(self: Arc<Self>);

    /// Reports that the server no longer fails.
    fn report_recovered(&self);

    /// Returns the endpoints.
    fn target(&self) -> &CallTarget;

    /// Returns the era of the server.
    fn era(&self) -> Era;

    /// Returns the drain, which ends the watch.
    fn drain(&self) -> &Drain;
}

/// Watch of one server. At most one exists for a server.
struct RecoveryWatch<S: WatchedServer>(Weak<S>);

/// End of a watch.
enum WatchEnd {
    /// The server answers pings again.
    Recovered,
    /// The server answers pings, which says nothing of calls, and a call may try it.
    Answering,
    /// The circuit is closed.
    Closed,
}

/// Watches a server whose circuit opened because of `cause`, unless it is watched already.
pub(crate) fn watch<S: WatchedServer>(server: &Arc<S>, cause: UpstreamFailure) {
    if Handle::try_current().is_err() || !server.begin_watch() {
        return;
    }
    let watch = RecoveryWatch(Arc::downgrade(server));
    let settled = server.drain().settled();
    drop(server.drain().spawn_unguarded(async move {
        tokio::select! {
            () = settled => {}
            () = watch.run(cause) => {}
        }
    }));
}

impl<S: WatchedServer> RecoveryWatch<S> {
    async fn run(self, cause: UpstreamFailure) {
        let Some((server, end)) = self.wait(cause).await else {
            return;
        };
        // A circuit that opens from here on is watched anew.
        drop(self);
        match end {
            WatchEnd::Recovered => server.record_ping(),
            WatchEnd::Answering => server.report_recovered(),
            WatchEnd::Closed if server.is_circuit_open() => watch(&server, cause),
            WatchEnd::Closed => {}
        }
    }

    /// Pings the server until the watch has ended. Returns `None` if the server is no longer used.
    async fn wait(&self, cause: UpstreamFailure) -> Option<(Arc<S>, WatchEnd)> {
        let mut proves_recovery = matches!(
            cause,
            UpstreamFailure::Unreachable | UpstreamFailure::Broken
        );
        let (first, longest) = ADDED_PAUSE;
        let mut added = Backoff::new(first, longest);
        loop {
            sleep(MIN_PAUSE + added.next(random::number())).await;
            let server = self.0.upgrade()?;
            if !server.is_circuit_open() {
                return Some((server, WatchEnd::Closed));
            }
            match ping_any(server.target(), server.era()).await {
                Ok(()) if proves_recovery => return Some((server, WatchEnd::Recovered)),
                Ok(()) if server.is_probe_due() => return Some((server, WatchEnd::Answering)),
                Ok(()) => {}
                // The ping was not sent.
                Err(UpstreamFailure::ResourcesExhausted | UpstreamFailure::ResponseBufferFull) => {}
                Err(_failed) => proves_recovery = true,
            }
        }
    }
}

impl<S: WatchedServer> Drop for RecoveryWatch<S> {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            server.end_watch();
        }
    }
}

/// Pings the endpoints of a server until one answers.
async fn ping_any(target: &CallTarget, era: Era) -> Result<(), UpstreamFailure> {
    let mut outcome = Err(UpstreamFailure::Unreachable);
    for authenticated in target.last_presented() {
        outcome = ping_endpoint(target, &authenticated, era).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Pings one endpoint of a server.
pub(crate) async fn ping_endpoint(
    target: &CallTarget,
    authenticated: &AuthenticatedEndpoint,
    era: Era,
) -> Result<(), UpstreamFailure> {
    let endpoint = authenticated.endpoint.clone();
    let endpoint = endpoint.with_max_timeout(PING_TIMEOUT);
    verdict_on(ping(&target.http, &endpoint, era).await)
}

/// Judges a ping. Every answer counts, with the exception of the statuses that are failures of calls too.
fn verdict_on(pinged: Result<(), ClientError>) -> Result<(), UpstreamFailure> {
    let Err(error) = pinged else {
        return Ok(());
    };
    match &error {
        ClientError::Status(problem) if problem.rpc.is_some() => Ok(()),
        ClientError::Status(problem) => match verdict::of_status(problem.status.as_u16()) {
            // The server answers; the ping has no permission.
            None | Some(UpstreamFailure::Credential | UpstreamFailure::RateLimited) => Ok(()),
            Some(failure) => Err(failure),
        },
        ClientError::Egress(_)
        | ClientError::Broken(_)
        | ClientError::Timeout(_)
        | ClientError::Exhausted
        | ClientError::Request(_) => Err(failure::of(&error)),
        ClientError::Rpc(_)
        | ClientError::Frame(_)
        | ClientError::Protocol(_)
        | ClientError::TooLarge(_)
        | ClientError::Expansion(_)
        | ClientError::TooManyEvents(_)
        | ClientError::NoCommonVersion { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests;
