//! `push.v1`: resources, pushes and their answers. A resource that does not check is an outcome, not a failure of the
//! push: the proxy keeps its last good form and names it in the Nack, and a gateway whose security fields this build
//! does not know is to be denied. Only a push whose frame is broken is refused as a whole.

mod hello;
mod key;
mod resource;
mod update;

pub use hello::{Hello, InvalidHello};
pub use key::{InvalidKey, key, key_to_proto};
pub use resource::{
    Received, RefusedResource, digests, digests_to_proto, receive, resource_to_proto,
};
pub use update::{Assembly, Incoming, InvalidUpdate, refusals, refused_to_proto, updates};

use toolgate_model::Version;
use toolgate_proto::push::v1 as pb;

/// None given is the version before all others.
pub fn version(given: Option<&pb::Version>) -> Version {
    given.map_or_else(Version::default, |given| Version {
        epoch: given.epoch,
        revision: given.revision,
    })
}

/// As a message.
pub fn version_to_proto(version: Version) -> pb::Version {
    pb::Version {
        epoch: version.epoch,
        revision: version.revision,
    }
}

#[cfg(test)]
mod tests;
