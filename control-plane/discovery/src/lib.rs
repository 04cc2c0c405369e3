//! Discovery of server definitions by probes. One actor per configured server probes it periodically, and at once when
//! its configuration changes or it announces a change. The definitions go to the store through a [`DefinitionsSink`]. A
//! server that fails keeps its earlier definitions, and gets a problem text with advice.

pub mod discovery;
pub mod port;
pub mod problem_text;
pub mod schedule;
pub mod target;

mod feed;
mod inspect;
mod probe;
mod reached_endpoint;

pub use discovery::{DiscoveryOptions, ServerDiscovery};
pub use port::{DefinitionsSink, HeaderError, HeaderSource, SinkError, StoreEffect, StoreReport};
pub use probe::joined_problem;
pub use target::{ProbeTarget, ProbeTargets};
