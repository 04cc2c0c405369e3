//! HTTP listener of the data plane: connection timeouts and limits, checks that need no tenant configuration, and the
//! mapping of refusals to responses. Requests are interpreted by the [`RequestHandler`].

pub mod accept;
mod admission;
pub mod body;
mod carriers;
mod check;
mod connection;
pub mod gate;
pub mod hosts;
pub mod limits;
pub mod memo;
pub mod refuse;
pub mod request;
mod standing;
mod tally;
mod watch;

pub use accept::{Door, DoorOptions};
pub use body::Body;
pub use gate::Gate;
pub use hosts::Hosts;
pub use limits::DoorLimits;
pub use memo::{Slot, TokenMemo};
pub use refuse::refuse;
pub use request::{Request, RequestBody};
