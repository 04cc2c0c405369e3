//! Activity of a connection, from which its single timer distinguishes a slow client from a busy server. Requests arm
//! no timers: they set marks, and the timer evaluates the marks when it fires.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{limits::DoorLimits, tally::Tally};

/// Marks of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    born: Instant,
    head: Mark,
    idle: Mark,
    body: Mark,
    write: Mark,
    active: AtomicU32,
    fresh: AtomicBool,
    multiplexed: bool,
}

/// Start of a condition, in milliseconds since the connection opened plus one; zero if the condition does not hold.
#[derive(Debug)]
struct Mark(AtomicU64);

/// Guard of a request that is being served.
#[derive(Debug)]
pub(crate) struct Active(Arc<Watch>);

/// I/O stream that records reads and writes in the connection's activity.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    watch: Arc<Watch>,
    /// Present on HTTP/2 connections.
    tally: Option<Tally>,
}

impl Watch {
    /// Creates the activity of a new connection, which waits for the head of its first request. An HTTP/2 connection
    /// starts as idle: its requests have timeouts of their own.
    pub(crate) fn new(multiplexed: bool) -> Arc<Self> {
        let watch = Self {
            born: Instant::now(),
            head: Mark::unset(),
            idle: Mark::unset(),
            body: Mark::unset(),
            write: Mark::unset(),
            active: AtomicU32::new(0),
            fresh: AtomicBool::new(false),
            multiplexed,
        };
        let first = if multiplexed {
            &watch.idle
        } else {
            &watch.head
        };
        first.set(0);
        Arc::new(watch)
    }

    /// Records that the head of a request has arrived.
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.fresh.store(false, Ordering::Relaxed);
        self.head.clear();
        self.idle.clear();
        Active(Arc::clone(self))
    }

    /// Records that a body is being read and returns `true`. Returns `false` on an HTTP/2 connection, where each body
    /// has its own timeout.
    pub(crate) fn body_waits(&self) -> bool {
        if !self.multiplexed {
            self.body.set(self.now());
        }
        !self.multiplexed
    }

    /// Records that the read of a body has completed.
    pub(crate) fn body_came(&self) {
        self.body.clear();
    }

    /// Returns `true` if a write is blocked because the client accepts no bytes.
    pub(crate) fn is_writing(&self) -> bool {
        self.write.get().is_some()
    }

    /// Returns the time at which the connection has to be closed in its present state, or `None` while it only waits
    /// for the handler.
    pub(crate) fn deadline(&self, limits: &DoorLimits) -> Option<Instant> {
        let after = |mark: &Mark, limit: Duration| Some(self.born + mark.get()? + limit);
        let stalled = after(&self.write, limits.write_stall);
        let waiting = if self.active.load(Ordering::Relaxed) > 0 {
            after(&self.body, limits.body_stall)
        } else {
            after(&self.head, limits.head).or_else(|| after(&self.idle, limits.idle))
        };
        [stalled, waiting].into_iter().flatten().min()
    }

    /// Records a read that returned bytes, or would block. Bytes that did not complete a head begin one.
    fn read(&self, came: bool) {
        if self.multiplexed || self.active.load(Ordering::Relaxed) > 0 {
            return;
        }
        if came {
            self.fresh.store(true, Ordering::Relaxed);
        } else if self.fresh.swap(false, Ordering::Relaxed) && self.head.get().is_none() {
            self.head.set(self.now());
        }
    }

    fn wrote(&self, took: bool) {
        if took {
            self.write.clear();
        } else if self.write.get().is_none() {
            self.write.set(self.now());
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Mark {
    const fn unset() -> Self {
        Self(AtomicU64::new(0))
    }

    fn set(&self, at: u64) {
        self.0.store(at + 1, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(at))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let watch = &self.0;
        watch.body.clear();
        if watch.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            watch.idle.set(watch.now());
        }
    }
}

impl<T> Watched<T> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: T, watch: Arc<Watch>) -> Self {
        let tally = watch.multiplexed.then(Tally::new);
        Self {
            inner,
            watch,
            tally,
        }
    }

    /// Returns the inner stream.
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.watch.read(read.is_ready());
        let this = &mut *self;
        if let Some(tally) = &mut this.tally {
            let age = this.watch.born.elapsed();
            let came = buffer.filled().get(before..).unwrap_or_default();
            tally.on(came, age).map_err(|_flood| {
                io::Error::other("too many HTTP/2 frames that serve no request")
            })?;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch.wrote(wrote.is_ready());
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch.wrote(wrote.is_ready());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
