//! Conversion of `push.v1`: resources, pushes and their answers. An invalid resource does not fail the push: the proxy
//! keeps the last accepted form and names the resource in the Nack. A gateway that requires features that this build does
//! not support is denied. Only a push with an invalid frame is rejected as a whole.

mod calls;
mod expulsion;
mod hello;
mod key;
mod report;
mod resource;
mod update;

pub use calls::{
    InvalidCallReport, call_queries, call_queries_to_proto, call_record, call_record_to_proto,
};
pub use expulsion::{EXPELLED, EXPELLED_PROXY};
pub use hello::{InvalidHello, ProxyHello};
pub use key::{InvalidKey, key, key_to_proto};
pub use report::{InvalidReport, ProxyReport};
pub use resource::{
    ReceivedResource, RejectedResource, check_resource, digests, digests_to_proto,
    resource_to_proto,
};
pub use update::{
    InvalidUpdate, ReceivedUpdate, UpdateAssembler, continued_updates, rejected_to_proto,
    rejections, updates,
};

use toolgate_model::Version;
use toolgate_proto::push::v1 as pb;

/// Converts from a message. A missing version is lower than all others.
pub fn version(given: Option<&pb::Version>) -> Version {
    given.map_or_else(Version::default, |given| Version {
        epoch: given.epoch,
        revision: given.revision,
    })
}

/// Converts to a message.
pub fn version_to_proto(version: Version) -> pb::Version {
    pb::Version {
        epoch: version.epoch,
        revision: version.revision,
    }
}

#[cfg(test)]
mod tests;
