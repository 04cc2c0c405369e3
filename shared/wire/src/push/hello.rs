//! Conversion of the first message of a proxy.

use std::collections::BTreeMap;

use toolgate_model::{Digest, ResourceKey, Slug, Timestamp, Version};
use toolgate_proto::push::v1 as pb;

use super::{digests, digests_to_proto, version, version_to_proto};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits,
};

invalid! {
    /// Error of an invalid hello message.
    InvalidHello: "hello";
}

/// First message of a proxy on a push stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHello {
    /// Id of the proxy.
    pub proxy: Slug,
    /// Region of the proxy.
    pub region: String,
    /// Program version.
    pub build: String,
    /// Address at which clients reach the proxy.
    pub listen: String,
    /// Start time of the process.
    pub started: Timestamp,
    /// Version that the proxy already holds. Zero for none.
    pub held: Version,
    /// Digests of the resources that the proxy holds.
    pub resources: BTreeMap<ResourceKey, Digest>,
    /// True if the proxy reads resources that continue in further entries of a push.
    pub reads_continued: bool,
}

impl ProtoConversion for ProxyHello {
    type Proto = pb::Hello;
    type Invalid = InvalidHello;

    fn from_proto(proto: &pb::Hello) -> Result<Self, InvalidHello> {
        let line = |field, given: &str| -> Result<String, FieldViolation> {
            field::line(field, given, limits::SHORT)
        };
        field::max_count("resources", proto.resources.len(), limits::RESOURCES)?;
        Ok(Self {
            proxy: field::slug("proxy_id", &proto.proxy_id)?,
            region: line("region", &proto.region)?,
            build: line("build", &proto.build)?,
            listen: line("listen", &proto.listen)?,
            started: Timestamp(proto.start_time_ms),
            held: version(proto.held.as_ref()),
            resources: digests(&proto.resources),
            reads_continued: proto.reads_continued,
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
            reads_continued: self.reads_continued,
        }
    }
}
