//! Ending in order. Every task is spawned through a [`Drain`] under a name; whoever holds the [`Trigger`] starts the
//! drain, waits, and is told the names of those that still block when the deadline passes.
//!
//! ```text
//! let (drain, trigger) = drain::new();
//! drain.spawn("listener", accept_until(drain.draining()));
//! signals::terminate().await?;
//! trigger.drain(Duration::from_secs(30)).await   // -> Drained | Blocked(who)
//! ```
//!
//! A drain has two phases. What serves ends first. What feeds it, [spawned last](Drain::spawn_last), goes on until
//! nothing is [served](Drain::settled) any more: a request that is still running must not be answered from what was
//! true when the drain began.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Knows whether the process is draining, and keeps it from ending while something runs. Cheap to clone.
#[derive(Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

/// Starts the drain.
#[derive(Debug)]
pub struct Trigger {
    drain: Drain,
}

/// While it lives, the drain is not complete.
#[must_use = "the drain waits only while the guard lives"]
pub struct DrainGuard {
    shared: Arc<Shared>,
    name: &'static str,
    phase: Phase,
}

/// When something has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// When the drain starts.
    Serving,
    /// When nothing is served any more.
    Last,
}

/// How a drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Everything has ended.
    Drained,
    /// The deadline passed; these were still running.
    Blocked(Vec<Blocker>),
}

/// Something that keeps the process from ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// What it is called.
    pub name: &'static str,
    /// How many of that name.
    pub count: usize,
}

struct Shared {
    draining: CancellationToken,
    settled: CancellationToken,
    running: Mutex<Running>,
    idle: Notify,
}

/// Who holds guards.
#[derive(Default)]
struct Running {
    names: BTreeMap<&'static str, usize>,
    /// How many of them serve.
    serving: usize,
}

/// A drain and what starts it.
pub fn new() -> (Drain, Trigger) {
    let shared = Arc::new(Shared {
        draining: CancellationToken::new(),
        settled: CancellationToken::new(),
        running: Mutex::default(),
        idle: Notify::new(),
    });
    let drain = Drain { shared };
    (drain.clone(), Trigger { drain })
}

impl Drain {
    /// Runs a task that the drain waits for. It should end soon after [`draining`](Self::draining).
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let guard = self.blocker(name);
        self.spawn_unguarded(async move {
            let _guard = guard;
            future.await
        })
    }

    /// Runs a task that what serves depends on. The drain waits for it as well, but it should not end before
    /// [`settled`](Self::settled).
    pub fn spawn_last<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let guard = self.guard(name, Phase::Last);
        self.spawn_unguarded(async move {
            let _guard = guard;
            future.await
        })
    }

    /// Runs a task that may be cut off at any point when the process ends, such as the private port itself.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn_unguarded<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(future)
    }

    /// Ends when the drain starts; at once if it has. Does not borrow, so that tasks can own it.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.draining.clone().cancelled_owned()
    }

    /// Ends when the drain has started and nothing is served any more; at once if that is so. Does not borrow.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.settled.clone().cancelled_owned()
    }

    /// Whether the drain has started.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    /// Keeps the drain from completing until dropped.
    pub fn blocker(&self, name: &'static str) -> DrainGuard {
        self.guard(name, Phase::Serving)
    }

    fn guard(&self, name: &'static str, phase: Phase) -> DrainGuard {
        let mut running = self.shared.running();
        *running.names.entry(name).or_insert(0) += 1;
        running.serving += usize::from(phase == Phase::Serving);
        drop(running);
        let shared = Arc::clone(&self.shared);
        DrainGuard {
            shared,
            name,
            phase,
        }
    }

    /// Whatever runs now.
    pub fn running(&self) -> Vec<Blocker> {
        let blocker = |(name, count): (&&'static str, &usize)| Blocker {
            name,
            count: *count,
        };
        self.shared.running().names.iter().map(blocker).collect()
    }
}

impl Trigger {
    /// Starts the drain and waits until everything has ended, but no longer than `deadline`.
    pub async fn drain(self, deadline: Duration) -> DrainOutcome {
        self.drain.shared.draining.cancel();
        self.drain.shared.settle();
        match timeout(deadline, self.drain.shared.idle()).await {
            Ok(()) => DrainOutcome::Drained,
            Err(_elapsed) => DrainOutcome::Blocked(self.drain.running()),
        }
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        if let Some(count) = running.names.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.names.remove(self.name);
            }
        }
        running.serving -= usize::from(self.phase == Phase::Serving);
        if running.names.is_empty() {
            self.shared.idle.notify_waiters();
        }
        drop(running);
        self.shared.settle();
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looked at whenever the drain starts or somebody ends, so that whichever comes last settles it.
    fn settle(&self) {
        if self.draining.is_cancelled() && self.running().serving == 0 {
            self.settled.cancel();
        }
    }

    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Listen before looking: the last guard may go in between.
            idle.as_mut().enable();
            if self.running().names.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

impl fmt::Display for DrainOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Blocked(blockers) => {
                f.write_str("still running:")?;
                for Blocker { name, count } in blockers {
                    write!(f, " {name} ({count})")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DrainGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainGuard").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests;
