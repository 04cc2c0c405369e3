//! Service that keeps one probe actor per target, and starts and ends actors as the targets change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use toolgate_actor::{ActorHandle, ActorSystem, AskError};
use toolgate_client::ListingLimits;
use toolgate_control_core::port::{BoxFuture, ProbeError, ServerProber};
use toolgate_egress::HttpClient;
use toolgate_mcp::{cdn_loop::CdnId, message::Implementation};
use toolgate_model::{ObjectName, ServerDefinitions};
use toolgate_runtime::{MemoryBudget, clock::SharedClock, drain::Drain};

use crate::{
    inspect::ServerInspector,
    port::{DefinitionsSink, HeaderSource},
    probe::{CurrentTarget, ProbeActor, ProbeContext, ProbeMessage},
    schedule::ScheduleOptions,
    target::{ProbeTarget, ProbeTargets},
};

/// Options and dependencies of server discovery.
pub struct DiscoveryOptions {
    /// HTTP client for probes.
    pub http: HttpClient,
    /// Id of this deployment in `CDN-Loop`.
    pub cdn_id: CdnId,
    /// Source of credential headers.
    pub headers: Arc<dyn HeaderSource>,
    /// Destination of the server definitions.
    pub sink: Arc<dyn DefinitionsSink>,
    /// Clock for timestamps and intervals.
    pub clock: SharedClock,
    /// Client name and version sent to servers.
    pub implementation: Implementation,
    /// Intervals between probes.
    pub schedule: ScheduleOptions,
    /// Maximum number of servers probed at the same time.
    pub concurrency: usize,
    /// Limits on what is read from one server.
    pub list_limits: ListingLimits,
}

/// Handle of all probe actors. Cheap to clone.
#[derive(Clone)]
pub struct ServerDiscovery {
    probes: Arc<Mutex<BTreeMap<ObjectName, RunningProbe>>>,
    targets: watch::Receiver<Arc<ProbeTargets>>,
}

struct RunningProbe {
    target: CurrentTarget,
    handle: ActorHandle<ProbeActor>,
}

impl RunningProbe {
    fn end(&self) {
        if self.handle.tell(ProbeMessage::End).is_err() {
            self.handle.stop();
        }
    }
}

/// Interval in which all actors are checked, also while the targets change all the time.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum time an operator waits for a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(45);

/// Maximum time an operator's request waits for its server to appear among the targets.
const TARGET_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of bytes of lists that all probes hold while they read them.
const READ_BUDGET: usize = 256 * 1024 * 1024;

/// Default number of servers probed at the same time.
pub const DEFAULT_CONCURRENCY: usize = 32;

impl ServerDiscovery {
    /// Probes the servers in `targets`, until the sender of `targets` is dropped or the drain starts.
    pub fn start(
        options: DiscoveryOptions,
        targets: watch::Receiver<Arc<ProbeTargets>>,
        system: ActorSystem,
        drain: &Drain,
    ) -> Self {
        let shared = Arc::new(ProbeContext {
            inspector: ServerInspector {
                http: options.http,
                cdn_id: HeaderValue::from_str(options.cdn_id.as_str()).ok(),
                headers: options.headers,
                implementation: options.implementation,
                list_limits: options.list_limits,
                budget: MemoryBudget::new(READ_BUDGET),
                drain: drain.clone(),
            },
            sink: options.sink,
            clock: options.clock,
            schedule: options.schedule,
            permits: Semaphore::new(options.concurrency.max(1)),
            concurrency: u32::try_from(options.concurrency.max(1)).unwrap_or(u32::MAX),
        });
        let discovery = Self {
            probes: Arc::default(),
            targets,
        };
        let follower = discovery.clone();
        let draining = drain.draining();
        drain.spawn("discovery", async move {
            tokio::select! {
                () = follower.follow(&shared, &system) => {}
                () = draining => {}
            }
            follower.end_all_but(&ProbeTargets::default());
        });
        discovery
    }

    /// Starts and ends actors as the targets change, and compares all targets at an interval, to start actors again that
    /// have ended by themselves.
    async fn follow(&self, shared: &Arc<ProbeContext>, system: &ActorSystem) {
        let mut targets = self.targets.clone();
        let mut seen = Arc::<ProbeTargets>::default();
        targets.mark_changed();
        let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                biased;
                _ = checks.tick() => false,
                changed = targets.changed() => match changed {
                    Ok(()) => true,
                    Err(_closed) => return,
                },
            };
            let current = Arc::clone(&targets.borrow_and_update());
            let names = match changed {
                true => current.changed_since(&seen),
                false => None,
            };
            let names: Option<BTreeSet<ObjectName>> = names.map(|names| names.cloned().collect());
            let names = names.unwrap_or_else(|| {
                self.end_all_but(&current);
                current.servers().cloned().collect()
            });
            for name in &names {
                match current.get(name) {
                    Some(target) => self.ensure(name, target, shared, system),
                    None => self.end(name),
                }
            }
            seen = current;
        }
    }

    fn ensure(
        &self,
        name: &ObjectName,
        target: &Arc<ProbeTarget>,
        shared: &Arc<ProbeContext>,
        system: &ActorSystem,
    ) {
        let mut probes = self.probes();
        if let Some(running) = probes.get(name)
            && !running.handle.is_gone()
        {
            if running.target.set(target) {
                // If the mailbox is full, the message is lost, but the actor reads the new target with its next probe.
                let _sent = running.handle.tell(ProbeMessage::Retarget);
            }
            return;
        }
        let current_target = CurrentTarget::new(Arc::clone(target));
        let (shared, actor_target) = (Arc::clone(shared), current_target.clone());
        let handle =
            system.spawn(move || ProbeActor::new(Arc::clone(&shared), actor_target.clone()));
        probes.insert(
            name.clone(),
            RunningProbe {
                target: current_target,
                handle,
            },
        );
    }

    /// Ends the actor of a server.
    fn end(&self, server: &ObjectName) {
        if let Some(running) = self.probes().remove(server) {
            running.end();
        }
    }

    /// Ends the actors of servers that are not in `targets`.
    fn end_all_but(&self, targets: &ProbeTargets) {
        self.probes().retain(|name, running| {
            let is_kept = targets.get(name).is_some();
            if !is_kept {
                running.end();
            }
            is_kept
        });
    }

    async fn request_probe(&self, server: ObjectName) -> Result<ServerDefinitions, ProbeError> {
        let found = timeout(TARGET_TIMEOUT, self.find(&server)).await;
        let handle = found.ok().flatten().ok_or(ProbeError::NoSuchServer)?;
        match handle.ask(PROBE_TIMEOUT, ProbeMessage::Ask).await {
            Ok(catalogue) => Ok(catalogue),
            Err(AskError::Busy | AskError::Gone | AskError::Timeout) => Err(ProbeError::Busy),
        }
    }

    /// Returns the actor of `server`; waits for it, because the server may have been created a moment ago.
    async fn find(&self, server: &ObjectName) -> Option<ActorHandle<ProbeActor>> {
        let mut targets = self.targets.clone();
        loop {
            if let Some(handle) = self.handle(server) {
                return Some(handle);
            }
            let known = targets.borrow_and_update().get(server).is_some();
            if known {
                // The follower task is about to start the actor.
                tokio::time::sleep(Duration::from_millis(5)).await;
            } else if targets.changed().await.is_err() {
                return None;
            }
        }
    }

    fn handle(&self, server: &ObjectName) -> Option<ActorHandle<ProbeActor>> {
        self.probes()
            .get(server)
            .map(|running| running.handle.clone())
    }

    fn probes(&self) -> MutexGuard<'_, BTreeMap<ObjectName, RunningProbe>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerProber for ServerDiscovery {
    fn probe_now(
        &self,
        server: ObjectName,
    ) -> BoxFuture<'_, Result<ServerDefinitions, ProbeError>> {
        Box::pin(self.request_probe(server))
    }
}

impl fmt::Debug for ServerDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = self.probes().len();
        f.debug_struct("ServerDiscovery")
            .field("probes", &probes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
