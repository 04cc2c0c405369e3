//! Discovery of server definitions by probes. One actor per configured server probes it periodically, and at once when
//! its configuration changes or it announces a change. The definitions go to the store through a [`DefinitionsSink`]. A
//! server that fails keeps its earlier definitions, and gets a problem text with advice.

pub mod catalog;
pub mod port;
pub mod schedule;
pub mod target;
pub mod words;

mod feed;
mod look;
mod probe;

pub use catalog::{Catalog, CatalogOptions};
pub use port::{CatalogueSink, HeaderError, HeaderSource, SinkError};
pub use target::{Target, Targets};
