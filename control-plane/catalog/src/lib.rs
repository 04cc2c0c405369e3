//! Probes: what do servers offer. One actor for each desired server asks it from time to time, and at once when its
//! configuration or its own tools change; what was seen goes to the store through a [`CatalogueSink`]. A server that
//! fails keeps the tools it had, and gets a problem in words, with what to do.

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
