//! An MCP client over egress, both eras. Two layers: [`send`](send()) and [`open_stream`] move frames and leave them as they are,
//! which is what a proxy's calls need; [`detect`](detect()), [`LegacySession`] and [`ModernPeer`] hold whole conversations, which
//! is what a probe needs.

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
