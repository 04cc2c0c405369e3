//! Service that keeps one probe actor per target, and starts and ends actors as the targets change.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use toolgate_actor::{ActorSystem, AskError, Handle};
use toolgate_client::Caps;
use toolgate_control_core::port::{BoxFuture, ProbeError, Prober};
use toolgate_egress::HttpClient;
use toolgate_mcp::message::Implementation;
use toolgate_model::{Catalogue, Name};
use toolgate_runtime::{clock::SharedClock, drain::Drain};

use crate::{
    look::Eyes,
    port::{CatalogueSink, HeaderSource},
    probe::{Aim, Message, Probe, Shared},
    schedule::Pace,
    target::{Target, Targets},
};

/// Options and dependencies of server discovery.
pub struct CatalogOptions {
    /// HTTP client for probes.
    pub http: HttpClient,
    /// Source of credential headers.
    pub headers: Arc<dyn HeaderSource>,
    /// Destination of the server definitions.
    pub sink: Arc<dyn CatalogueSink>,
    /// Clock for timestamps and intervals.
    pub clock: SharedClock,
    /// Client name and version sent to servers.
    pub us: Implementation,
    /// Intervals between probes.
    pub pace: Pace,
    /// Maximum number of servers probed at the same time.
    pub concurrency: usize,
    /// Limits on what is read from one server.
    pub caps: Caps,
}

/// Handle of all probe actors. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    probes: Arc<Mutex<BTreeMap<Name, Running>>>,
    targets: watch::Receiver<Arc<Targets>>,
}

struct Running {
    aim: Aim,
    handle: Handle<Probe>,
}

/// Maximum time an operator waits for a probe.
const ASK_DEADLINE: Duration = Duration::from_secs(45);

/// Maximum time an operator's request waits for its server to appear among the targets.
const TARGET_DEADLINE: Duration = Duration::from_secs(2);

/// Default number of servers probed at the same time.
pub const CONCURRENCY: usize = 32;

impl Catalog {
    /// Probes the servers in `targets`, until the sender of `targets` is dropped or the drain starts.
    pub fn start(
        options: CatalogOptions,
        targets: watch::Receiver<Arc<Targets>>,
        system: ActorSystem,
        drain: &Drain,
    ) -> Self {
        let shared = Arc::new(Shared {
            eyes: Eyes {
                http: options.http,
                headers: options.headers,
                us: options.us,
                caps: options.caps,
                drain: drain.clone(),
            },
            sink: options.sink,
            clock: options.clock,
            pace: options.pace,
            looking: Semaphore::new(options.concurrency.max(1)),
        });
        let catalog = Self {
            probes: Arc::default(),
            targets,
        };
        let follower = catalog.clone();
        let draining = drain.draining();
        drain.spawn("catalog", async move {
            tokio::select! {
                () = follower.follow(&shared, &system) => {}
                () = draining => {}
            }
            follower.end(&Targets::new());
        });
        catalog
    }

    async fn follow(&self, shared: &Arc<Shared>, system: &ActorSystem) {
        let mut targets = self.targets.clone();
        targets.mark_changed();
        while targets.changed().await.is_ok() {
            let wanted = Arc::clone(&targets.borrow_and_update());
            self.end(&wanted);
            for (name, target) in wanted.iter() {
                self.ensure(name, target, shared, system);
            }
        }
    }

    fn ensure(
        &self,
        name: &Name,
        target: &Arc<Target>,
        shared: &Arc<Shared>,
        system: &ActorSystem,
    ) {
        let mut probes = self.probes();
        if let Some(running) = probes.get(name)
            && !running.handle.is_gone()
        {
            if running.aim.set(target) {
                // If the mailbox is full, the message is lost, but the actor reads the new target with its next probe.
                let _told = running.handle.tell(Message::Retarget);
            }
            return;
        }
        let aim = Aim::new(Arc::clone(target));
        let (shared, aimed) = (Arc::clone(shared), aim.clone());
        let handle = system.spawn(move || Probe::new(Arc::clone(&shared), aimed.clone()));
        probes.insert(name.clone(), Running { aim, handle });
    }

    /// Ends the actors of servers that are not in `wanted`.
    fn end(&self, wanted: &Targets) {
        self.probes().retain(|name, running| {
            let stays = wanted.contains_key(name);
            if !stays && running.handle.tell(Message::End).is_err() {
                running.handle.stop();
            }
            stays
        });
    }

    async fn ask(&self, server: Name) -> Result<Catalogue, ProbeError> {
        let found = timeout(TARGET_DEADLINE, self.find(&server)).await;
        let handle = found.ok().flatten().ok_or(ProbeError::NoSuchServer)?;
        match handle.ask(ASK_DEADLINE, Message::Ask).await {
            Ok(catalogue) => Ok(catalogue),
            Err(AskError::Busy | AskError::Gone | AskError::Timeout) => Err(ProbeError::Busy),
        }
    }

    /// Returns the actor of `server`; waits for it, because the server may have been created a moment ago.
    async fn find(&self, server: &Name) -> Option<Handle<Probe>> {
        let mut targets = self.targets.clone();
        loop {
            if let Some(handle) = self.handle(server) {
                return Some(handle);
            }
            let known = targets.borrow_and_update().contains_key(server);
            if known {
                // The follower task is about to start the actor.
                tokio::time::sleep(Duration::from_millis(5)).await;
            } else if targets.changed().await.is_err() {
                return None;
            }
        }
    }

    fn handle(&self, server: &Name) -> Option<Handle<Probe>> {
        self.probes()
            .get(server)
            .map(|running| running.handle.clone())
    }

    fn probes(&self) -> MutexGuard<'_, BTreeMap<Name, Running>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prober for Catalog {
    fn probe_now(&self, server: Name) -> BoxFuture<'_, Result<Catalogue, ProbeError>> {
        Box::pin(self.ask(server))
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = self.probes().len();
        f.debug_struct("Catalog")
            .field("probes", &probes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
