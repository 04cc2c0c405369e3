//! Graceful shutdown. Every task is spawned through a [`Drain`] under a name. The owner of the [`DrainTrigger`] starts
//! the drain, waits, and receives the names of the tasks still running at the deadline.
//!
//! ```text
//! let (drain, trigger) = drain::new();
//! drain.spawn("listener", accept_until(drain.draining()));
//! signals::terminate().await?;
//! trigger.drain(Duration::from_secs(30)).await   // -> Drained | Blocked(blockers)
//! ```
//!
//! A drain has two phases. Serving tasks end first. Tasks that supply them, spawned with
//! [`spawn_last`](Drain::spawn_last), continue until all serving tasks have [ended](Drain::settled): a request still
//! running must not be answered from data that was current when the drain began.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Part of a drain's time that is left when its deadline is near.
const DEADLINE_MARGIN_DIVISOR: u32 = 6;

/// Maximum time that is left when the deadline of a drain is near.
const MAX_DEADLINE_MARGIN: Duration = Duration::from_secs(5);

/// Handle to the drain: spawns tasks, reports the drain, and delays its completion. Cheap to clone.
#[derive(Clone)]
pub struct Drain {
    shared: Arc<DrainState>,
}

/// Trigger of the drain.
#[derive(Debug)]
pub struct DrainTrigger {
    drain: Drain,
}

/// Guard that keeps the drain from completing.
#[must_use = "the drain waits only while the guard lives"]
pub struct DrainGuard {
    shared: Arc<DrainState>,
    name: &'static str,
    phase: DrainPhase,
}

/// Phase of the drain in which a task has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DrainPhase {
    /// Ends when the drain starts.
    Serving,
    /// Ends when all serving tasks have ended.
    Last,
}

/// Result of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Everything has ended.
    Drained,
    /// The deadline passed with these still running.
    Blocked(Vec<DrainBlocker>),
}

/// Running tasks of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainBlocker {
    /// Name given at spawn.
    pub name: &'static str,
    /// Number of tasks of that name.
    pub count: usize,
}

struct DrainState {
    draining: CancellationToken,
    settled: CancellationToken,
    deadline_near: CancellationToken,
    running: Mutex<RunningTasks>,
    idle: Notify,
}

/// Names of the guards held.
#[derive(Default)]
struct RunningTasks {
    names: BTreeMap<&'static str, usize>,
    /// Number of guards in the serving phase.
    serving: usize,
}

/// Creates a drain and its trigger.
pub fn new() -> (Drain, DrainTrigger) {
    let shared = Arc::new(DrainState {
        draining: CancellationToken::new(),
        settled: CancellationToken::new(),
        deadline_near: CancellationToken::new(),
        running: Mutex::default(),
        idle: Notify::new(),
    });
    let drain = Drain { shared };
    (drain.clone(), DrainTrigger { drain })
}

impl Drain {
    /// Spawns a task that the drain waits for. The task should end soon after [`draining`](Self::draining).
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

    /// Spawns a task that serving tasks depend on. The drain waits for it as well, but it should not end before
    /// [`settled`](Self::settled).
    pub fn spawn_last<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let guard = self.guard(name, DrainPhase::Last);
        self.spawn_unguarded(async move {
            let _guard = guard;
            future.await
        })
    }

    /// Spawns a task that may be aborted at any point when the process ends, such as the private port itself.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn_unguarded<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(future)
    }

    /// Completes when the drain starts, at once if it has started. Does not borrow, so that tasks can own the future.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.draining.clone().cancelled_owned()
    }

    /// Completes when the drain has started and all serving tasks have ended, at once if that is so. Does not borrow.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.settled.clone().cancelled_owned()
    }

    /// Completes shortly before the deadline of the drain, when tasks that wait for a client have to end; at once if
    /// it is so late. Does not borrow.
    pub fn deadline_near(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.deadline_near.clone().cancelled_owned()
    }

    /// Returns `true` if the drain has started.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    /// Returns a guard that keeps the drain from completing until dropped.
    pub fn blocker(&self, name: &'static str) -> DrainGuard {
        self.guard(name, DrainPhase::Serving)
    }

    fn guard(&self, name: &'static str, phase: DrainPhase) -> DrainGuard {
        let mut running = self.shared.running();
        *running.names.entry(name).or_insert(0) += 1;
        running.serving += usize::from(phase == DrainPhase::Serving);
        drop(running);
        let shared = Arc::clone(&self.shared);
        DrainGuard {
            shared,
            name,
            phase,
        }
    }

    /// Returns all running tasks by name.
    pub fn running(&self) -> Vec<DrainBlocker> {
        let blocker = |(name, count): (&&'static str, &usize)| DrainBlocker {
            name,
            count: *count,
        };
        self.shared.running().names.iter().map(blocker).collect()
    }
}

impl DrainTrigger {
    /// Starts the drain and waits until everything has ended, until `deadline` at most.
    pub async fn drain(self, deadline: Duration) -> DrainOutcome {
        self.drain.shared.draining.cancel();
        self.drain.shared.settle();
        let near = async {
            sleep(deadline - (deadline / DEADLINE_MARGIN_DIVISOR).min(MAX_DEADLINE_MARGIN)).await;
            self.drain.shared.deadline_near.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = timeout(deadline, self.drain.shared.idle()) => match ended {
                Ok(()) => DrainOutcome::Drained,
                Err(_elapsed) => DrainOutcome::Blocked(self.drain.running()),
            },
            () = near => DrainOutcome::Blocked(self.drain.running()),
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
        running.serving -= usize::from(self.phase == DrainPhase::Serving);
        if running.names.is_empty() {
            self.shared.idle.notify_waiters();
        }
        drop(running);
        self.shared.settle();
    }
}

impl DrainState {
    fn running(&self) -> MutexGuard<'_, RunningTasks> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checked when the drain starts and when a guard is dropped, so that the later of the two events settles the
    /// drain.
    fn settle(&self) {
        if self.draining.is_cancelled() && self.running().serving == 0 {
            self.settled.cancel();
        }
    }

    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Registered before the check: the last guard may be dropped in between.
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
                for DrainBlocker { name, count } in blockers {
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
