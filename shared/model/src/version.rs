//! The version of a configuration: the store's own revision within an epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Ordered: a later epoch (a restore) beats any revision of an earlier one. A proxy never goes backwards within
/// an epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// Bumped by a restore of the store.
    pub epoch: u64,
    /// The store's revision at which this configuration stood.
    pub revision: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}
