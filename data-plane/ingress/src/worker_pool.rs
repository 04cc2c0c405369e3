//! Pool of worker threads that serve connections.
//!
//! Each worker has a single-threaded runtime, and a connection stays on one worker until it ends. The client's socket,
//! the upstream connections of its requests and its timers are polled on that thread, so a request wakes no other
//! thread. The accept loop assigns a new connection to the worker with the fewest connections.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    task::AbortHandle,
};
use toolgate_runtime::Liveness;

/// Workers of a listener. Dropping the pool ends them together with every task that still runs on them.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// Ends the thread when dropped.
    _shutdown: oneshot::Sender<()>,
}

/// Counts a connection towards its worker's load until dropped.
struct WorkerLoadGuard(Arc<AtomicUsize>);

impl WorkerPool {
    /// Starts `count` workers, at least one. A worker that is blocked does not beat.
    pub(crate) fn start(count: usize, liveness: &Liveness) -> io::Result<Self> {
        let all = (0..count.max(1))
            .map(|number| Worker::start(number, liveness))
            .collect::<io::Result<_>>()?;
        Ok(Self { workers: all })
    }

    /// Runs a connection on the worker with the fewest connections. Returns the handle that aborts it.
    pub(crate) fn spawn<F, C>(&self, connection: C) -> Option<AbortHandle>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self
            .workers
            .iter()
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = fewest?;
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let load_guard = WorkerLoadGuard(Arc::clone(&worker.connections));
        let task = worker.runtime.spawn(async move {
            let _load_guard = load_guard;
            connection().await;
        });
        Some(task.abort_handle())
    }
}

impl Worker {
    fn start(number: usize, liveness: &Liveness) -> io::Result<Self> {
        let name = format!("worker-{number}");
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        drop(handle.spawn(liveness.register(&name).run()));
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // No value is ever sent: the receiver completes when the sender is dropped.
            let _gone = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
            _shutdown: end,
        })
    }
}

impl Drop for WorkerLoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
