//! Threads that carry connections. Each has a runtime of its own, and a connection stays with one of them to its end:
//! its client's socket, the connections to servers that its requests use, and its timers are heard of on one thread, so
//! that a request wakes no other. Who accepts deals connections out to whoever has the fewest.

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
};

/// All carriers of a door. They end when dropped, with all that still runs on them.
#[derive(Debug)]
pub(crate) struct Carriers {
    all: Vec<Carrier>,
}

#[derive(Debug)]
struct Carrier {
    runtime: Handle,
    carried: Arc<AtomicUsize>,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

/// While it lives, a connection is counted as carried.
struct Carried(Arc<AtomicUsize>);

impl Carriers {
    /// So many of them, but one at least.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let all = (0..count.max(1))
            .map(Carrier::start)
            .collect::<io::Result<_>>()?;
        Ok(Self { all })
    }

    /// Runs a connection on the carrier that has the fewest.
    pub(crate) fn carry<F, C>(&self, connection: C)
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self
            .all
            .iter()
            .min_by_key(|carrier| carrier.carried.load(Ordering::Relaxed));
        let Some(carrier) = fewest else {
            return;
        };
        carrier.carried.fetch_add(1, Ordering::Relaxed);
        let carried = Carried(Arc::clone(&carrier.carried));
        drop(carrier.runtime.spawn(async move {
            let _carried = carried;
            connection().await;
        }));
    }
}

impl Carrier {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Nobody ever sends: it ends when the other side is gone.
            let _gone = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        thread::Builder::new()
            .name(format!("carrier-{number}"))
            .spawn(run)?;
        Ok(Self {
            runtime: handle,
            carried: Arc::default(),
            _end: end,
        })
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
