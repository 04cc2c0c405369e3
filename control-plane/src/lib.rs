//! Control plane: decides on commands and publishes snapshots. The write path is [`write_path`]; [`store_follower`]
//! keeps the published state equal to the store; the other modules connect crates that do not depend on each other.

mod bootstrap;
mod clock_warnings;
mod deployment_keys;
mod deployment_record;
#[cfg(test)]
mod fixture;
mod leader_election;
mod observation_limiter;
mod probes;
mod provider_keys;
mod receipt;
mod record_codec;
mod restored_access;
mod space_monitor;
mod start;
mod store_follower;
mod write_path;

pub use bootstrap::{BootstrapError, FirstToken};
pub use deployment_keys::{DeploymentKeys, DeploymentKeysError};
pub use restored_access::RestoredAccess;
pub use start::{ControlPlane, ControlPlaneContext, StartError, StartOptions};
pub use toolgate_api::AdminOptions;
pub use toolgate_store::{EmbeddedStore, EtcdOptions, EtcdStore, StoreOpenError};
pub use write_path::WritePath;
