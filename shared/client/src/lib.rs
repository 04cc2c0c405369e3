//! MCP client of both eras on top of egress, in two layers. [`send`](send()) and [`open_stream`] move frames unchanged,
//! for the calls of a proxy. [`detect`](detect()), [`LegacySession`] and [`ModernClient`] run whole exchanges, for
//! probes.

pub mod body;
pub mod changes;
pub mod detect;
pub mod endpoint;
pub mod error;
pub mod events;
#[cfg(any(test, feature = "stand-in"))]
pub mod fake_server;
pub mod http_sse;
pub mod legacy;
pub mod listing;
pub mod modern;
pub mod ping;
pub mod presented;
pub mod reply;
pub mod send;
pub mod server_client;
pub mod server_facts;
pub mod stream_cursor;

mod content_coding;
mod read_limiter;
mod rpc_client;

pub use body::LimitedBody;
pub use changes::{ServerChange, ServerChangeFeed, listen, session_changes};
pub use detect::{ConfiguredProtocol, DetectedClient, detect};
pub use endpoint::{ReadLimits, ServerEndpoint};
pub use error::{ClientError, StatusProblem, TimeoutPhase};
pub use events::EventStream;
pub use http_sse::HttpSseStream;
pub use legacy::{LegacyHandshake, LegacySession, VersionOffer, handshake, spoken_legacy_version};
pub use listing::{ListingLimits, ListingTruncation, ServerListing};
pub use modern::{ModernClient, next_id};
pub use ping::ping;
pub use presented::PresentedCredential;
pub use reply::{ReplyBody, ServerReply};
pub use rpc_client::ask;
pub use send::{RequestHeaders, delete, open_stream, send, send_open_ended};
pub use server_client::ServerClient;
pub use server_facts::ServerFacts;

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
#[cfg(test)]
pub(crate) const HANG_GUARD: std::time::Duration = std::time::Duration::from_secs(60);
