//! Core of the control plane: state, commands, decisions, compilation, push sessions and ports. Pure: no I/O, no
//! runtime, no clock, no randomness, no wire format.
//!
//! ```text
//! store entries --state--> StoreState --compile--> Snapshot --push--> Send / Close / RecordProxy
//!                              |
//!          Command --decide----+--> Change | Rejection
//! ```

pub mod access_right;
pub mod change;
pub mod command;
pub mod compile;
pub mod decide;
pub mod definitions;
#[cfg(test)]
mod fixture;
pub mod key;
pub mod kind;
pub mod limits;
pub mod object;
pub mod object_table;
pub mod port;
pub mod push;
pub mod rejection;
pub mod restored;
pub mod state;
pub mod store_history;

pub use access_right::{AccessRight, CallerIdentity, is_allowed};
pub use change::{Change, KeyGuard, PrefixGuard};
pub use command::{Command, CommandAuthor, CommandContext, OperatorObject, RequestId};
pub use compile::{
    CompileOutput, ConfigProblem, ExposedKind, NameCollision, ProblemKind, ProblemSeverity,
    compile, recompile,
};
pub use decide::decide;
pub use key::{InvalidObjectKey, ObjectKey, ObjectKind};
pub use kind::StateKind;
pub use object::{ControlObject, JoinToken, RequestRecord, VersionMarker, VersionRecord};
pub use object_table::{ObjectTable, VersionedObject};
pub use port::Revision;
pub use rejection::{FieldCause, Rejection};
pub use state::{ListedObject, ObjectEvent, ResyncStats, StoreState};
pub use store_history::{ServedChange, StoreContinuity, StoreRefusal};
