//! Synchronization of a proxy with the control plane. The last good configuration, keys and credentials are stored
//! encrypted on disk, so that a proxy that starts while no control plane is reachable serves its former configuration.
//!
//! ```text
//!  control plane                                    disk (encrypted)
//!    | Subscribe: Update -> Ack | Nack                 | at start
//!    v                                                 v
//!  push -> applied_config (check, build the view) -> ArcSwap<View> -> request path
//!    | Revocations, on a connection of its own          |
//!    v                                                  v
//!  revocations -> ArcSwap<set of hashes>        credentials: every reference in the view, resolved ahead of use
//! ```
//!
//! Only the readers of [`SyncHandle`] run on the request path, and they neither wait nor lock.

mod applied_config;
mod call_log;
mod call_stream;
mod confirmation;
mod connection_problem;
mod control_channels;
mod credentials;
mod disk;
mod expulsion;
#[cfg(test)]
mod fixture;
mod fleet_share;
mod handle;
mod identity;
mod keys;
mod last_good;
#[cfg(test)]
mod memory_search;
mod options;
mod push;
mod repeated_problem;
mod report;
mod revocations;
mod secret;
mod start;

pub use call_log::{CallLog, CallLogEntry, CallSubject, ClientName, LogPosition, requested_name};
pub use disk::DiskError;
pub use handle::{SyncHandle, SyncStatus};
pub use keys::SharedKeys;
pub use options::{ControlPlaneTransport, InvalidBundle, JoinBundle, ProxyContext, SyncOptions};
pub use start::{SyncError, start};
pub use toolgate_runtime::tls::FleetMembership;
