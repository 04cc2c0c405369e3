//! Control plane: decides on commands and publishes snapshots. The write path is [`write_path`]; [`follow`] keeps the
//! published state equal to the store; the other modules connect crates that do not depend on each other.

mod bootstrap;
mod codec;
mod control_api;
#[cfg(test)]
mod fixture;
mod follow;
mod keys;
mod leadership;
mod probes;
mod reseal;
mod start;
mod write_path;

pub use bootstrap::{BootstrapError, FirstToken};
pub use keys::{DeploymentKeys, DeploymentKeysError};
pub use start::{ControlPlane, ControlPlaneContext, StartError, StartOptions};
pub use toolgate_api::AdminOptions;
pub use toolgate_store::{EmbeddedStore, EtcdOptions, EtcdStore, StoreOpenError};
pub use write_path::WritePath;
