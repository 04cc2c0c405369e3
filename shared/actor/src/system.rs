//! The actor system: a few dedicated threads (actix arbiters), each with its own single-threaded tokio runtime.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::Duration,
};

use actix::Actor as _;
use actix_rt::{Arbiter, ArbiterHandle, System};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    Actor,
    cell::ActorCell,
    handle::ActorHandle,
    permit::MailboxPermits,
    registry::{ActorEntry, ActorRegistry, ActorSnapshot},
};

/// Maximum number of snapshots taken at once.
pub const MAX_SNAPSHOTS: usize = 1000;

/// Timeout for an actor's snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(1);

/// Threads that run actors. Cheap to clone; dropping the last clone stops the threads.
#[derive(Clone)]
pub struct ActorSystem {
    shared: Arc<ActorSystemState>,
}

/// Result of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorDrainOutcome {
    /// Every actor has ended.
    Drained,
    /// The deadline passed. Number of remaining actors by kind.
    Blocked(BTreeMap<&'static str, usize>),
}

struct ActorSystemState {
    system: System,
    arbiters: Vec<ArbiterHandle>,
    next: AtomicUsize,
    registry: Arc<ActorRegistry>,
    draining: AtomicBool,
}

impl ActorSystem {
    /// Starts `threads` threads, at least one.
    pub fn start(threads: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let run = move || {
            let started = start_arbiters(threads.max(1));
            match started {
                Ok((runner, arbiters)) => {
                    let _starter_waits = sender.send(Ok((System::current(), arbiters)));
                    if let Err(error) = runner.run() {
                        tracing::error!(%error, "the actor system ended");
                    }
                }
                Err(error) => {
                    let _starter_waits = sender.send(Err(error));
                }
            }
        };
        thread::Builder::new()
            .name("actors".to_owned())
            .spawn(run)?;
        let started = receiver.recv().map_err(io::Error::other)?;
        let (system, arbiters) = started?;
        let shared = ActorSystemState {
            system,
            arbiters,
            next: AtomicUsize::new(0),
            registry: Arc::default(),
            draining: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Starts an actor on the next thread. The factory creates the actor now and again after a panic.
    pub fn spawn<A, F>(&self, factory: F) -> ActorHandle<A>
    where
        A: Actor,
        F: Fn() -> A + Send + 'static,
    {
        let permits = Arc::<MailboxPermits>::default();
        let registration = self.shared.registry.register();
        let (id, status) = (registration.id(), registration.status());
        let cell_permits = Arc::clone(&permits);
        let make = move |_actix: &mut actix::Context<ActorCell<A>>| {
            ActorCell::new(factory, cell_permits, registration)
        };
        let address = ActorCell::start_in_arbiter(self.shared.next_arbiter(), make);
        self.shared.registry.insert(ActorEntry {
            kind: A::KIND,
            id,
            status,
            permits: Arc::clone(&permits),
            address: Arc::new(address.downgrade()),
        });
        let handle = ActorHandle::new(address, permits, id);
        if self.shared.draining.load(Ordering::Acquire) {
            handle.stop();
        }
        handle
    }

    /// Runs a future on each thread, until the thread ends.
    pub fn spawn_on_each_thread<F>(&self, mut make: impl FnMut() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for arbiter in &self.shared.arbiters {
            // A thread that has ended takes nothing.
            let _taken = arbiter.spawn(make());
        }
    }

    /// Returns snapshots of running actors, at most [`MAX_SNAPSHOTS`].
    pub async fn observe(&self) -> Vec<ActorSnapshot> {
        let living = self.shared.registry.all(MAX_SNAPSHOTS);
        // All actors are asked before the first answer is awaited.
        let snapshot_request: Vec<_> = living
            .iter()
            .map(|living| living.address.observe())
            .collect();
        let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
        let mut pictures = Vec::with_capacity(living.len());
        for (living, snapshot_request) in living.into_iter().zip(snapshot_request) {
            let Some(snapshot_request) = snapshot_request else {
                continue;
            };
            let state = match timeout_at(deadline, snapshot_request).await {
                Ok(Ok(state)) => state,
                Ok(Err(_gone)) => continue,
                Err(_elapsed) => Value::Null,
            };
            pictures.push(ActorSnapshot {
                kind: living.kind,
                id: living.id,
                state,
                restarts: living.status.restarts(),
                queued: living.permits.taken(),
            });
        }
        pictures
    }

    /// Returns the number of running actors by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.shared.registry.counts()
    }

    /// Asks every actor to end and waits until `deadline` at most. Then the threads end too, and every handle answers
    /// with *gone*.
    pub async fn drain(&self, deadline: Duration) -> ActorDrainOutcome {
        self.shared.draining.store(true, Ordering::Release);
        for living in self.shared.registry.all(usize::MAX) {
            living.address.stop();
        }
        let outcome = match timeout(deadline, self.shared.registry.wait_empty()).await {
            Ok(()) => ActorDrainOutcome::Drained,
            Err(_elapsed) => ActorDrainOutcome::Blocked(self.counts()),
        };
        self.shared.end();
        outcome
    }
}

fn start_arbiters(threads: usize) -> io::Result<(actix_rt::SystemRunner, Vec<ArbiterHandle>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let runner = System::with_tokio_rt(|| runtime);
    let arbiters = (0..threads).map(|_thread| Arbiter::try_new().map(|arbiter| arbiter.handle()));
    let arbiters = arbiters.collect::<io::Result<Vec<_>>>()?;
    Ok((runner, arbiters))
}

impl ActorSystemState {
    fn next_arbiter(&self) -> &ArbiterHandle {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.arbiters.len().max(1);
        self.arbiters
            .get(next)
            .unwrap_or_else(|| self.system.arbiter())
    }

    fn end(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.system.stop();
    }
}

impl Drop for ActorSystemState {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for ActorSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorSystem")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
