//! Version of a configuration: the revision of the store within an epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Version of a configuration. Ordered: a later epoch (after a restore) is greater than any revision of an earlier one.
/// The version of a proxy never decreases within an epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// Epoch, incremented by a restore of the store.
    pub epoch: u64,
    /// Revision of the store at which the configuration was read.
    pub revision: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}
