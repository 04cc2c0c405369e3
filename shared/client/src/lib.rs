//! MCP client of both eras on top of egress, in two layers. [`send`](send()) and [`open_stream`] move frames unchanged,
//! for the calls of a proxy. [`detect`](detect()), [`LegacySession`] and [`ModernClient`] run whole exchanges, for
//! probes.

pub mod body;
pub mod changes;
pub mod detect;
pub mod endpoint;
pub mod error;
pub mod events;
pub mod legacy;
pub mod listing;
pub mod modern;
pub mod old;
pub mod peer;
pub mod place;
pub mod reply;
pub mod send;
#[cfg(any(test, feature = "stand-in"))]
pub mod stand_in;

mod conversation;
mod pace;

pub use body::LimitedBody;
pub use changes::{Change, Changes, listen, session_changes};
pub use conversation::ask;
pub use detect::{Detected, detect};
pub use endpoint::{Endpoint, ReadLimits};
pub use error::{ClientError, Phase, StatusProblem};
pub use events::EventStream;
pub use legacy::{Handshake, LegacySession, handshake};
pub use listing::{Caps, Cut, Listing};
pub use modern::{ModernPeer, next_id};
pub use old::OldStream;
pub use peer::{Peer, ServerFacts};
pub use reply::{Reply, ReplyBody};
pub use send::{Headers, delete, open_stream, send, send_open_ended};
