//! Upstream sessions: the state that the calls of a session with a legacy server share.

mod atomic_log_level;
mod handle;
mod shared_stream_receivers;

pub(crate) use handle::HandshakeResult;
pub use handle::{MAX_CONCURRENT_REJECTIONS, UpstreamSessionHandle};
pub(crate) use shared_stream_receivers::{
    CallGeneration, ServerMessageReceiver, SharedStreamReceivers,
};
