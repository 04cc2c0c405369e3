//! JSON-RPC and MCP wire format: frames, protocol eras, headers, SSE, ids. The crate is pure: no IO, no clock, no
//! randomness.
//!
//! A frame is parsed once, strictly and without copying ([`envelope`], [`server_message`]). Bytes that the proxy does
//! not have to change are forwarded unmodified ([`splice`]). No input causes a panic.

pub mod answer;
pub mod apps;
pub mod batch;
pub mod canonical;
pub mod definition;
pub mod envelope;
pub mod era;
pub mod error;
pub mod headers;
pub mod hidden;
pub mod limits;
mod lookalike;
pub mod message;
pub mod method;
pub mod nested;
pub mod object;
pub mod pile;
mod scan;
pub mod splice;
pub mod sse;
pub mod text;
pub mod trace;
pub mod versions;

pub use answer::Answer;
pub use envelope::{Envelope, Kind};
pub use era::Framing;
pub use error::{FrameError, Reason, RpcError};
pub use limits::Limits;
pub use splice::{Edit, Span, splice};
pub use text::{Id, Text};
