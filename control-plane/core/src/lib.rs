//! Core of the control plane: state, commands, decisions, compilation, push sessions and ports. Pure: no I/O, no
//! runtime, no clock, no randomness, no wire format.
//!
//! ```text
//! store entries --state--> StoreState --compile--> Snapshot --push--> Send / Close / RecordProxy
//!                              |
//!          Command --decide----+--> Change | Rejection
//! ```

pub mod change;
pub mod command;
pub mod compile;
pub mod decide;
#[cfg(test)]
mod fixture;
pub mod key;
pub mod limits;
pub mod object;
pub mod port;
pub mod push;
pub mod rejection;
pub mod right;
pub mod shelf;
pub mod state;

pub use change::{Change, KeyGuard};
pub use command::{Command, Context, Desired, RequestId};
pub use compile::{Collision, Compiled, Named, Problem, ProblemKind, compile, recompile};
pub use decide::decide;
pub use key::{InvalidKey, Key, Kind};
pub use object::{JoinToken, Marker, Object, RequestRecord, VersionRecord};
pub use port::Revision;
pub use rejection::Rejection;
pub use right::{Identity, Right, may};
pub use shelf::{Shelf, Stored};
pub use state::{Event, Listed, Repairs, State};
