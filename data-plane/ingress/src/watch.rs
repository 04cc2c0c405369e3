//! What a connection is doing, so that one timer per connection can tell a slow client from a busy one. A request
//! arms no timer: it leaves a mark, and the timer looks at the marks when it fires.

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

/// The marks of one connection.
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

/// Since when something is so, in milliseconds after birth; zero if it is not.
#[derive(Debug)]
struct Mark(AtomicU64);

/// While it lives, a request is being served.
#[derive(Debug)]
pub(crate) struct Active(Arc<Watch>);

/// A socket that leaves marks.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    watch: Arc<Watch>,
    /// On a multiplexed connection.
    tally: Option<Tally>,
}

impl Watch {
    /// Of a new connection, which owes us the head of its first request. On a multiplexed one requests stall alone.
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

    /// A request's head has arrived.
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.fresh.store(false, Ordering::Relaxed);
        self.head.clear();
        self.idle.clear();
        Active(Arc::clone(self))
    }

    /// A body is waited for. Nothing is told on a multiplexed connection, whose bodies keep their own time.
    pub(crate) fn body_waits(&self) -> bool {
        if !self.multiplexed {
            self.body.set(self.now());
        }
        !self.multiplexed
    }

    /// It has come.
    pub(crate) fn body_came(&self) {
        self.body.clear();
    }

    /// Whether the client has been sent what it has not taken yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.write.get().is_some()
    }

    /// When the connection is to be given up, as things are; nothing while a request is being worked on.
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

    /// Bytes came, or none did. A head has begun when bytes came that did not complete one.
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
    /// `inner`, watched.
    pub(crate) fn new(inner: T, watch: Arc<Watch>) -> Self {
        let tally = watch.multiplexed.then(Tally::new);
        Self {
            inner,
            watch,
            tally,
        }
    }

    /// What was watched.
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
