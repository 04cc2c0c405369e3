//! How a proxy introduces itself.

use std::collections::BTreeMap;

use toolgate_model::{Digest, ResourceKey, Slug, Timestamp, Version};
use toolgate_proto::push::v1 as pb;

use super::{digests, digests_to_proto, version, version_to_proto};
use crate::{
    Wire, field,
    invalid::{Violation, invalid},
    limits,
};

invalid! {
    /// Why a message is no introduction.
    InvalidHello: "hello";
}

/// What a proxy says of itself when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its id.
    pub proxy: Slug,
    /// Where it stands.
    pub region: String,
    /// Its program version.
    pub build: String,
    /// Where clients reach it.
    pub listen: String,
    /// When it started.
    pub started: Timestamp,
    /// The version it holds already; zero for none.
    pub held: Version,
    /// What it holds of it.
    pub resources: BTreeMap<ResourceKey, Digest>,
}

impl Wire for Hello {
    type Proto = pb::Hello;
    type Invalid = InvalidHello;

    fn from_proto(proto: &pb::Hello) -> Result<Self, InvalidHello> {
        let line = |field, given: &str| -> Result<String, Violation> {
            field::line(field, given, limits::SHORT)
        };
        field::cap("resources", proto.resources.len(), limits::RESOURCES)?;
        Ok(Self {
            proxy: field::slug("proxy_id", &proto.proxy_id)?,
            region: line("region", &proto.region)?,
            build: line("build", &proto.build)?,
            listen: line("listen", &proto.listen)?,
            started: Timestamp(proto.start_time_ms),
            held: version(proto.held.as_ref()),
            resources: digests(&proto.resources),
        })
    }

    fn to_proto(&self) -> pb::Hello {
        pb::Hello {
            proxy_id: self.proxy.to_string(),
            region: self.region.clone(),
            build: self.build.clone(),
            listen: self.listen.clone(),
            start_time_ms: self.started.0,
            held: Some(version_to_proto(self.held)),
            resources: digests_to_proto(&self.resources),
        }
    }
}
