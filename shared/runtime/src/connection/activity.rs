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

use super::{frame_quota::FrameQuota, limits::ConnectionLimits};

/// Marks of one connection.
#[derive(Debug)]
pub struct ConnectionActivity {
    opened_at: Instant,
    awaiting_head: ActivityMark,
    idle_since: ActivityMark,
    awaiting_body: ActivityMark,
    write_blocked: ActivityMark,
    /// Time that writes were blocked, in milliseconds, less the time that the accepted bytes would take at the least rate.
    write_debt: AtomicU64,
    least_rate: u32,
    active_requests: AtomicU32,
    bytes_arrived: AtomicBool,
    multiplexed: bool,
}

/// Start of a condition, in milliseconds since the connection opened plus one; zero if the condition does not hold.
#[derive(Debug)]
struct ActivityMark(AtomicU64);

/// Guard of a request that is being served.
#[derive(Debug)]
pub struct RequestGuard(Arc<ConnectionActivity>);

/// I/O stream that records reads and writes in the connection's activity.
#[derive(Debug)]
pub struct ActivityIo<T> {
    inner: T,
    activity: Arc<ConnectionActivity>,
    /// Present on HTTP/2 connections.
    frame_quota: Option<FrameQuota>,
}

impl ConnectionActivity {
    /// Creates the activity of a new connection, which waits for the head of its first request.
    pub fn new(multiplexed: bool, limits: &ConnectionLimits) -> Arc<Self> {
        let activity = Self {
            opened_at: Instant::now(),
            awaiting_head: ActivityMark::unset(),
            idle_since: ActivityMark::unset(),
            awaiting_body: ActivityMark::unset(),
            write_blocked: ActivityMark::unset(),
            write_debt: AtomicU64::new(0),
            least_rate: limits.least_rate.max(1),
            active_requests: AtomicU32::new(0),
            bytes_arrived: AtomicBool::new(false),
            multiplexed,
        };
        activity.awaiting_head.set(0);
        if multiplexed {
            // Applies as soon as a head is complete, also if no request comes of it.
            activity.idle_since.set(0);
        }
        Arc::new(activity)
    }

    /// Records that the head of a request has arrived.
    #[inline]
    pub fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.active_requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_arrived.store(false, Ordering::Relaxed);
        if !self.multiplexed {
            self.awaiting_head.clear();
        }
        self.idle_since.clear();
        RequestGuard(Arc::clone(self))
    }

    /// Records that a body is being read and returns `true`. Returns `false` on an HTTP/2 connection, where each body
    /// has its own timeout.
    #[inline]
    pub fn body_read_started(&self) -> bool {
        if !self.multiplexed {
            self.awaiting_body.set(self.now());
        }
        !self.multiplexed
    }

    /// Records that the read of a body has completed.
    #[inline]
    pub fn body_read_ended(&self) {
        self.awaiting_body.clear();
    }

    /// Returns `true` if a write is blocked because the client accepts no bytes.
    #[inline]
    pub fn is_writing(&self) -> bool {
        self.write_blocked.get().is_some()
    }

    /// Returns the time at which the connection has to be closed in its present state, or `None` while it only waits
    /// for the handler.
    #[inline]
    pub fn deadline(&self, limits: &ConnectionLimits) -> Option<Instant> {
        let after =
            |mark: &ActivityMark, limit: Duration| Some(self.opened_at + mark.get()? + limit);
        let stalled = self.write_deadline(limits.write_stall_timeout);
        let is_active = self.active_requests.load(Ordering::Relaxed) > 0;
        // An incomplete head on an HTTP/2 connection holds up its other requests as well.
        let head = (self.multiplexed || !is_active)
            .then(|| after(&self.awaiting_head, limits.head_timeout))
            .flatten();
        let waiting = if is_active {
            after(&self.awaiting_body, limits.body_stall_timeout)
        } else if head.is_none() {
            after(&self.idle_since, limits.idle_timeout)
        } else {
            None
        };
        [stalled, head, waiting].into_iter().flatten().min()
    }

    /// Returns the time at which a slow reader has to be closed while memory is short, or `None` if no write is blocked.
    #[inline]
    pub fn pressed_deadline(&self, limits: &ConnectionLimits) -> Option<Instant> {
        self.write_deadline(limits.pressed_stall_timeout)
    }

    /// Returns the time at which the write debt reaches `limit` if no byte is accepted, or `None` if no write is blocked.
    #[inline]
    fn write_deadline(&self, limit: Duration) -> Option<Instant> {
        let since = self.opened_at + self.write_blocked.get()?;
        let debt = Duration::from_millis(self.write_debt.load(Ordering::Relaxed));
        Some(since + limit.saturating_sub(debt))
    }

    /// Records a read that returned bytes, or would block. Bytes that did not complete a head begin one.
    #[inline]
    fn on_read(&self, received: bool) {
        if self.multiplexed || self.active_requests.load(Ordering::Relaxed) > 0 {
            return;
        }
        if received {
            self.bytes_arrived.store(true, Ordering::Relaxed);
        } else if self.bytes_arrived.swap(false, Ordering::Relaxed)
            && self.awaiting_head.get().is_none()
        {
            self.awaiting_head.set(self.now());
        }
    }

    /// Records what the frames of an HTTP/2 connection have come to.
    fn on_frames(&self, is_head_incomplete: bool) {
        if !is_head_incomplete {
            self.awaiting_head.clear();
        } else if self.awaiting_head.get().is_none() {
            self.awaiting_head.set(self.now());
        }
    }

    /// Records a write that was accepted with this many bytes, or is blocked. Accepted bytes pay for blocked time at the
    /// least rate, so that a peer that accepts a few bytes now and then is not taken for a fast one.
    #[inline]
    fn on_write(&self, accepted: Option<usize>) {
        let blocked = self.write_blocked.get();
        match accepted {
            None if blocked.is_none() => self.write_blocked.set(self.now()),
            None => {}
            Some(bytes) => {
                let debt = self.write_debt.load(Ordering::Relaxed);
                if blocked.is_some() || debt > 0 {
                    self.pay_write_debt(blocked, debt, bytes);
                }
            }
        }
    }

    fn pay_write_debt(&self, blocked: Option<Duration>, debt: u64, bytes: usize) {
        let since = blocked.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let waited = since.map_or(0, |since| self.now().saturating_sub(since));
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let paid = bytes.saturating_mul(1000) / u64::from(self.least_rate);
        let left = debt.saturating_add(waited).saturating_sub(paid);
        self.write_debt.store(left, Ordering::Relaxed);
        self.write_blocked.clear();
    }

    #[inline]
    fn now(&self) -> u64 {
        u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl ActivityMark {
    const fn unset() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    fn set(&self, at: u64) {
        self.0.store(at + 1, Ordering::Relaxed);
    }

    #[inline]
    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(at))
    }
}

impl Drop for RequestGuard {
    #[inline]
    fn drop(&mut self) {
        let activity = &self.0;
        activity.awaiting_body.clear();
        if activity.active_requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.idle_since.set(activity.now());
        }
    }
}

impl<T> ActivityIo<T> {
    /// Wraps `inner`.
    pub fn new(inner: T, activity: Arc<ConnectionActivity>) -> Self {
        let frame_quota = activity.multiplexed.then(FrameQuota::new);
        Self {
            inner,
            activity,
            frame_quota,
        }
    }

    /// Returns the inner stream.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ActivityIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.activity.on_read(read.is_ready());
        let this = &mut *self;
        if let Some(frame_quota) = &mut this.frame_quota {
            let age = this.activity.opened_at.elapsed();
            let received = buffer.filled().get(before..).unwrap_or_default();
            frame_quota.observe(received, age).map_err(|_flood| {
                io::Error::other("too many HTTP/2 frames that serve no request")
            })?;
            this.activity.on_frames(frame_quota.is_head_incomplete());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ActivityIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.activity.on_write(accepted(&wrote));
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
        self.activity.on_write(accepted(&wrote));
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// Returns the number of bytes that a write took, or `None` if it is blocked.
#[inline]
fn accepted(wrote: &Poll<io::Result<usize>>) -> Option<usize> {
    match wrote {
        Poll::Ready(Ok(bytes)) => Some(*bytes),
        Poll::Ready(Err(_)) => Some(0),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
