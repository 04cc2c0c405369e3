//! gRPC API of the control plane. Operators call [`admin`], proxies call [`fleet`]. Both authenticate the caller,
//! convert messages to and from the model, and leave decisions to the core through [`control_api::ControlApi`]. Access
//! is denied by default: [`rights`] lists the right of every method, and a method without an entry is rejected.

pub mod admin;
pub mod desk;
pub mod fleet;
pub mod rights;

mod caller;
mod crud;
mod edge;
mod gate;
mod health;
mod kinds;
mod listen;
mod masks;
#[cfg(test)]
mod memory;
mod observed;
mod pages;
mod problems;
mod services;
mod status;
mod watch;
mod watches;

pub use admin::AdminOptions;
pub use desk::{Desk, Outcome, Published, Purpose, SubmitError};
pub use fleet::{Fleet, Trust};
