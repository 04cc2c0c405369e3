//! Stored form of the last good configuration: a base with all resources, and a log with the changes since, so that a
//! change costs what it touches.
//!
//! | file | content |
//! |---|---|
//! | `view.sealed` | the push that delivers the configuration to a proxy that holds nothing |
//! | `view-<id>.log` | one record per saved change: the push that delivers it |
//!
//! The log belongs to one state of the base: its name contains the identity of the base, and its records are encrypted for
//! it. When the log has outgrown the base, a new base is written beside both and replaces them at once; changes are
//! appended to the former log meanwhile. A build without the log reads the base, which it knows, and so does a proxy
//! whose log is damaged: it serves what comes before the damage.
//!
//! When read back, the pushes are validated like any other push.

mod delta_log;
mod saved_config;
mod stored_updates;
mod writer;

pub(crate) use saved_config::SavedConfig;
pub(crate) use writer::save_changes;

pub(crate) const FILE: &str = "view";

#[cfg(test)]
mod tests;
