//! The control plane's store behind one port, twice: etcd for a fleet, redb (a file, or memory) for one machine. No
//! code path asks which one it is; [`conformance`] holds what they have in common, as tests.

pub mod conformance;
pub mod embedded;
pub mod etcd;
mod request;

pub use embedded::{EmbeddedStore, OpenError};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls};
