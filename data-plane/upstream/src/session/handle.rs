//! Established session with a legacy server. The calls of all its callers share it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use http::HeaderValue;
use toolgate_client::{HttpSseStream, RequestHeaders};
use toolgate_data_core::{port::UpstreamSession, session::upstream_log_level::UpstreamLogLevel};
use toolgate_model::Timestamp;

use super::{atomic_log_level::AtomicLogLevel, shared_stream_receivers::SharedStreamReceivers};

/// Maximum number of concurrent responses to server requests that belong to no call, per session.
pub const MAX_CONCURRENT_REJECTIONS: usize = 8;

/// Established upstream session. Immutable except for its counters.
pub struct UpstreamSessionHandle {
    /// Result of the handshake.
    pub(crate) handshake: HandshakeResult,
    /// Calls in flight that can receive server requests.
    pub(crate) shared_stream_receivers: SharedStreamReceivers,
    /// Log level set on the server.
    pub(crate) log_level: AtomicLogLevel,
    next_id: AtomicU64,
    last_used: AtomicU64,
    rejections: AtomicUsize,
    /// `true` once the server refuses the session.
    discarded: AtomicBool,
    /// `true` while the session is probed in the background.
    probed: AtomicBool,
}

/// Result of the `initialize` handshake.
pub(crate) struct HandshakeResult {
    /// `Mcp-Session-Id`, if the server assigned one.
    pub(crate) session_id: Option<Box<str>>,
    /// Negotiated protocol version.
    pub(crate) version: Box<str>,
    /// The server's capabilities object, JSON.
    pub(crate) capabilities: Box<str>,
    /// Stream of a session with an HTTP+SSE server.
    pub(crate) http_sse: Option<Arc<HttpSseStream>>,
}

/// Permit for one response to a server request that belongs to no call; released on drop.
pub(crate) struct RejectionPermit(Arc<UpstreamSessionHandle>);

impl UpstreamSessionHandle {
    /// Creates the handle of a session that was just opened. The handshake used request id 0.
    pub(crate) fn new(handshake: HandshakeResult, now: Timestamp) -> Self {
        let log_level = UpstreamLogLevel::new(&handshake.capabilities);
        Self {
            log_level: AtomicLogLevel::new(log_level),
            handshake,
            shared_stream_receivers: SharedStreamReceivers::default(),
            next_id: AtomicU64::new(1),
            last_used: AtomicU64::new(now.0),
            rejections: AtomicUsize::new(0),
            discarded: AtomicBool::new(false),
            probed: AtomicBool::new(false),
        }
    }

    /// Returns a request id not used before on this session. The id also serves as a progress token.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Acquires a permit to respond to a server request that belongs to no call. Returns `None` while
    /// [`MAX_CONCURRENT_REJECTIONS`] permits are held.
    pub(crate) fn acquire_rejection_permit(self: &Arc<Self>) -> Option<RejectionPermit> {
        let count = &self.rejections;
        let more = |under_way| (under_way < MAX_CONCURRENT_REJECTIONS).then_some(under_way + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| RejectionPermit(Arc::clone(self)))
    }

    /// Returns the stream of a session with an HTTP+SSE server.
    pub(crate) fn http_sse(&self) -> Option<&Arc<HttpSseStream>> {
        self.handshake.http_sse.as_ref()
    }

    /// Reports if the server refuses this session, or if its stream has ended and the session with it.
    pub(crate) fn is_lost(&self) -> bool {
        self.discarded.load(Ordering::Relaxed) || self.is_stream_closed()
    }

    /// Reports if the session was carried by a stream that has ended.
    pub(crate) fn is_stream_closed(&self) -> bool {
        self.http_sse().is_some_and(|stream| stream.is_closed())
    }

    /// Marks the session as lost: the server refuses it. The next call opens a new one.
    pub fn discard(&self) {
        self.discarded.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the server assigned an id to the session.
    pub(crate) fn has_id(&self) -> bool {
        self.handshake.session_id.is_some()
    }

    /// Reports if a probe in the background may begin. One probe at a time is enough for all calls.
    pub(crate) fn begin_probe(&self) -> bool {
        self.has_id() && !self.is_lost() && !self.probed.swap(true, Ordering::Relaxed)
    }

    /// Ends the probe in the background.
    pub(crate) fn end_probe(&self) {
        self.probed.store(false, Ordering::Relaxed);
    }

    /// Returns the headers of a message within this session.
    pub(crate) fn headers(&self) -> RequestHeaders {
        let id = self.handshake.session_id.as_deref();
        let id = id.and_then(|id| HeaderValue::from_str(id).ok());
        RequestHeaders::legacy(&self.handshake.version, id.as_ref())
    }
}

impl UpstreamSession for UpstreamSessionHandle {
    fn last_used(&self) -> Timestamp {
        Timestamp(self.last_used.load(Ordering::Relaxed))
    }

    fn touch(&self, now: Timestamp) {
        // Concurrent callers differ by milliseconds, so a lost update is acceptable.
        if self.last_used.load(Ordering::Relaxed) < now.0 {
            self.last_used.store(now.0, Ordering::Relaxed);
        }
    }
}

impl Drop for RejectionPermit {
    fn drop(&mut self) {
        self.0.rejections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for UpstreamSessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The session id is a secret shared with the server.
        write!(f, "UpstreamSessionHandle({})", self.handshake.version)
    }
}

#[cfg(test)]
mod tests;
