//! Conversion of versions.

use toolgate_model::Version;
use toolgate_proto::admin::v1 as pb;

/// Converts from a message. A missing version is lower than all others.
pub fn version(given: Option<&pb::ConfigVersion>) -> Version {
    given.map_or_else(Version::default, |given| Version {
        epoch: given.epoch,
        revision: given.revision,
    })
}

/// Converts to a message.
pub fn version_to_proto(version: Version) -> pb::ConfigVersion {
    pb::ConfigVersion {
        epoch: version.epoch,
        revision: version.revision,
    }
}
