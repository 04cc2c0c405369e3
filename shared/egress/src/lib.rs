//! The only way to open an outbound socket. Towards servers that somebody configured, [`Egress`] resolves a name,
//! vets every address it has, and connects to what it vetted; no redirect is followed and no proxy of the
//! environment is used. Towards our own control plane, [`ControlConnector`] goes where the operator said.

pub mod answer;
pub mod body;
pub mod control;
pub mod error;
pub mod http_client;
pub mod policy;
pub mod resolve;

mod connector;
mod line;
mod pool;

pub use answer::Answer;
pub use body::Body;
pub use control::{ClientTls, ControlConnector, control_channel};
pub use error::{Class, EgressError};
pub use http_client::{Egress, HttpClient, PoolOptions, system_roots};
pub use policy::{EgressPolicy, Refused, vet};
pub use resolve::{Resolve, SystemResolver};
