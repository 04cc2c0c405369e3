//! Data plane: executes the configuration that it gets from the control plane. `pipeline.rs` shows a request from start
//! to end; [`DataPlane::start`] assembles a proxy on top of [`sync`].

mod account;
mod batch;
mod elsewhere;
mod execute;
mod frame;
mod limit;
mod neighbours;
mod pipeline;
mod plane;
mod presented;
pub mod source;
mod start;
mod streamed;

pub use limit::RequestLimits;
pub use source::{KeySet, Source};
pub use start::{DataPlane, DataPlaneOptions, NeighbourDoor, StartError};
pub use toolgate_egress::EgressPolicy;
pub use toolgate_ingress::{DoorLimits, DoorOptions};
pub use toolgate_sync::{self as sync, Machine};
