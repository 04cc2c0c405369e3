//! JSON-RPC and MCP wire format: frames, protocol eras, headers, SSE, ids. The crate is pure: no IO, no clock, no
//! randomness.
//!
//! A frame is parsed once, strictly and without copying ([`envelope`], [`server_message`]). Bytes that the proxy does
//! not have to change are forwarded unmodified ([`splice`]). No input causes a panic.

pub mod apps;
pub mod batch;
pub mod canonical;
pub mod case_folding;
pub mod case_variants;
pub mod cdn_loop;
pub mod chunked_buffer;
pub mod deceptive_text;
pub mod definition;
pub mod envelope;
pub mod era;
pub mod error;
pub mod headers;
pub mod limits;
pub mod message;
pub mod method;
pub mod nested_call;
pub mod object;
pub mod protocol_members;
mod scan;
pub mod server_message;
pub mod splice;
pub mod sse;
pub mod text;
pub mod trace;
pub mod versions;

pub use envelope::{Envelope, MessageKind};
pub use era::RequestEra;
pub use error::{FrameError, FrameErrorKind, RpcError};
pub use limits::FrameLimits;
pub use server_message::ServerMessage;
pub use splice::{ByteEdit, ByteSpan, splice};
pub use text::{JsonRpcId, JsonString};
