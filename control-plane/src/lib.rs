//! The control plane, assembled: decides and publishes. The write path is [`spine`]; what keeps the published state
//! true to the store is [`follow`]; everything else here wires crates that do not know each other.

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
