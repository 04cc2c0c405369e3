//! Store implementations of the control plane: etcd for a fleet, redb (a file or memory) for a single machine.
//! Callers use the [`Store`](toolgate_control_core::port::Store) port and do not depend on the implementation.
//! [`conformance`] contains the tests that both pass.

pub mod conformance;
pub mod embedded;
pub mod etcd;
mod request;

pub use embedded::{EmbeddedStore, StoreOpenError};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls};
