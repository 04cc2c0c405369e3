//! gRPC API of the control plane. Operators call [`admin`], proxies call [`fleet`]. Both authenticate the caller,
//! convert messages to and from the model, and leave decisions to the core through its ports (`core::port`). Access
//! is denied by default: [`rights`] lists the right of every method, and a method without an entry is rejected.

pub mod admin;
pub mod control_api;
pub mod fleet;
pub mod rights;

mod access_control;
mod api_context;
mod call_readers;
mod caller;
mod calls;
mod crud;
mod deployment;
mod health;
mod kinds;
mod listen;
mod masks;
#[cfg(test)]
mod memory;
mod observed;
mod pages;
mod problems;
mod server_health;
mod services;
mod status;
mod watch;
mod watch_limiter;

pub use admin::AdminOptions;
pub use call_readers::CallReaders;
pub use control_api::{ControlApi, KeyringReader};
pub use deployment::{CLOCKS, OBJECTS, ObjectFault, faults_of_objects};
pub use fleet::{FleetService, PeerAuthentication};
pub use status::STORE_NOT_FOLLOWED;
