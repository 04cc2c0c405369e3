//! The tonic edge of the control plane. [`admin`] is what operators call, [`fleet`] is what proxies call; both check
//! who is asking, convert at the door, and leave the decision to the core through [`desk::Desk`]. Closed by default:
//! [`rights`] holds one row for every method, and a method without one is answered with a refusal.

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
