//! Reports of this proxy to its control plane, over the connection of its stream. Each carries the time of this machine's
//! clock, and its answer the time of the control plane's, so that both ends know by how much the clocks differ. Changes of the
//! health of servers are reported at once, but at most once a second.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tonic::{Code, transport::Channel};
use toolgate_model::{
    CLOCK_TOLERANCE, ClockReading, HealthState, ObjectName, ServerHealth, Slug, Timestamp,
    server_health::HEALTH_SERVERS,
};
use toolgate_proto::push::v1::push_client::PushClient;
use toolgate_runtime::clock::rfc3339;
use toolgate_wire::{ProtoConversion as _, push::ProxyReport};

use crate::{handle::SyncState, options::ProxyContext};

/// Interval between two reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Interval after the first report, which does not know the duration of messages, and after a report that failed.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Interval after a report that the control plane does not know: it is of an earlier version.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum time until the answer to a report.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Subject of the warnings of the process about its clock.
const CLOCK: &str = "clock";

/// Sender of the reports.
#[derive(Clone)]
pub(crate) struct ProxyReporter {
    proxy_id: Slug,
    context: ProxyContext,
    state: Arc<SyncState>,
    clock: Arc<ClockMonitor>,
}

/// State that the control plane at the other end of one connection was told.
#[derive(Default)]
struct ReportedState {
    round_trip: Option<Duration>,
    /// Health of servers; `None` before the first report.
    servers: Option<BTreeMap<ObjectName, ServerHealth>>,
}

/// Latest comparison of this machine's clock with the clock of the control plane.
#[derive(Debug, Default)]
struct ClockMonitor {
    ahead_ms: AtomicI64,
    /// Comparison that was logged last.
    told: Mutex<Option<ClockReading>>,
}

impl ProxyReporter {
    pub(crate) fn new(proxy_id: Slug, context: ProxyContext, state: Arc<SyncState>) -> Self {
        let clock = Arc::<ClockMonitor>::default();
        let observed = Arc::clone(&clock);
        context.metrics.observe(
            "toolgate.clock.offset",
            "s",
            "Time of this machine's clock minus that of the control plane's",
            move || observed.ahead_ms.load(Ordering::Relaxed) as f64 / 1000.0,
        );
        Self {
            proxy_id,
            context,
            state,
            clock,
        }
    }

    /// Reports over this connection for as long as the future is polled.
    pub(crate) async fn run(self, channel: Channel) {
        let mut client = PushClient::new(channel);
        let mut reported = ReportedState::default();
        let mut health = self.state.health();
        loop {
            let is_first = reported.round_trip.is_none();
            let current = Arc::clone(&health.borrow_and_update());
            let wait = match self.report(&mut client, &mut reported, &current).await {
                Ok(()) if is_first => FIRST_INTERVAL,
                Ok(()) => REPORT_INTERVAL,
                Err(status) if status.code() == Code::Unimplemented => UNKNOWN_INTERVAL,
                Err(status) => {
                    tracing::debug!(reason = status.message(), "a report was not taken");
                    FIRST_INTERVAL
                }
            };
            sleep(wait.min(FIRST_INTERVAL)).await;
            if wait == REPORT_INTERVAL && !reported.is_behind(&health.borrow()) {
                let rest = wait.saturating_sub(FIRST_INTERVAL);
                // Ends early with a change. The sender lives as long as the state.
                let _elapsed = timeout(rest, health.changed()).await;
            } else {
                sleep(wait.saturating_sub(FIRST_INTERVAL)).await;
            }
        }
    }

    async fn report(
        &self,
        client: &mut PushClient<Channel>,
        reported: &mut ReportedState,
        current: &[ServerHealth],
    ) -> Result<(), Box<tonic::Status>> {
        let (sent, began) = (self.context.now(), self.context.clock.monotonic());
        let report = ProxyReport {
            proxy: self.proxy_id.clone(),
            sent,
            round_trip: reported.round_trip,
            servers: reported.changes(current, sent),
            replaces_servers: reported.servers.is_none(),
        };
        let mut request = tonic::Request::new(report.to_proto());
        request.set_timeout(ANSWER_TIMEOUT);
        let answer = client.report(request).await.map_err(Box::new)?;
        let took = self.context.clock.monotonic().duration_since(began);
        reported.round_trip = Some(took);
        reported.accept(report.servers);
        let received = Timestamp(answer.into_inner().received_time_ms);
        self.observe(ClockReading::of_message(sent, received, took), received);
        Ok(())
    }

    /// Tells a difference of the clocks once, and again when it changes.
    fn observe(&self, reading: ClockReading, reference: Timestamp) {
        self.clock
            .ahead_ms
            .store(reading.ahead_ms, Ordering::Relaxed);
        let mut told = self.clock.told();
        let is_news = match *told {
            Some(before) => before.differs_from(&reading),
            None => reading.is_off(),
        };
        if !is_news {
            return;
        }
        *told = Some(reading);
        let warning = reading
            .is_off()
            .then(|| problem(reading, self.context.now(), reference));
        match &warning {
            Some(problem) => tracing::warn!(problem, "the clock is off"),
            None => tracing::info!("the clock agrees with that of the control plane again"),
        }
        let readiness = &self.context.readiness;
        readiness.set_warnings(CLOCK, warning.into_iter().collect());
    }
}

impl ReportedState {
    /// Returns the servers whose health differs from what was reported, at most as many as a report may have. A server that
    /// is not kept any more, because it is configured in another way, counts as available.
    fn changes(&self, current: &[ServerHealth], now: Timestamp) -> Vec<ServerHealth> {
        let known = |it: &ServerHealth| self.servers.as_ref().and_then(|all| all.get(&it.server));
        let changed = current.iter().filter(|it| known(it) != Some(*it)).cloned();
        let before = self.servers.iter().flat_map(BTreeMap::values);
        let gone = before
            .filter(|it| it.has_failures() && !current.iter().any(|new| new.server == it.server));
        let gone = gone.map(|it| ServerHealth {
            state: HealthState::Available,
            recovered: it.is_failing().then_some(now).or(it.recovered),
            endpoints: Vec::new(),
            ..it.clone()
        });
        changed.chain(gone).take(HEALTH_SERVERS).collect()
    }

    fn is_behind(&self, current: &[ServerHealth]) -> bool {
        !self.changes(current, Timestamp(0)).is_empty()
    }

    /// Records what the control plane has taken.
    fn accept(&mut self, taken: Vec<ServerHealth>) {
        let known = self.servers.get_or_insert_default();
        known.extend(taken.into_iter().map(|it| (it.server.clone(), it)));
        // Nothing more is reported of what is available and not kept any more, except once after a new connection.
        if known.len() > 4 * HEALTH_SERVERS {
            known.retain(|_, it| it.has_failures());
        }
    }
}

/// Describes the difference, with both times and the next step. Only a third clock could tell which of both is right.
fn problem(reading: ClockReading, now: Timestamp, reference: Timestamp) -> String {
    let direction = match reading.ahead_ms > 0 {
        true => "ahead of",
        false => "behind",
    };
    format!(
        "this machine's clock shows {}, {} s {direction} that of the control plane, which shows {}; switch on time \
         synchronisation on both machines: with more than {} s between them, certificates and tokens end too early or too late",
        rfc3339(now),
        reading.distance_secs(),
        rfc3339(reference),
        CLOCK_TOLERANCE.as_secs()
    )
}

impl ClockMonitor {
    fn told(&self) -> MutexGuard<'_, Option<ClockReading>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
