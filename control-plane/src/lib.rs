//! Control plane: decides on commands and publishes snapshots. The write path is [`write_path`]; [`follow`] keeps the
//! published state equal to the store; the other modules connect crates that do not depend on each other.

mod bootstrap;
mod codec;
mod desk;
#[cfg(test)]
mod fixture;
mod follow;
mod keys;
mod probes;
mod reseal;
mod spine;
mod start;
mod tenure;

pub use bootstrap::{BootstrapError, FirstToken};
pub use keys::{DeploymentKeys, KeysError};
pub use spine::Spine;
pub use start::{ControlPlane, Machine, Options, StartError};
pub use toolgate_api::AdminOptions;
pub use toolgate_store::{EmbeddedStore, EtcdOptions, EtcdStore, OpenError};
