//! Conversion of proxy statuses. `wanted` is not part of the status and is set by the sender of a response.

use toolgate_model::{
    ClockReading, ObjectName, ProxyStatus, ResourceKey, ResourceRejection, SnapshotResourceKind,
    Timestamp,
};
use toolgate_proto::admin::v1 as pb;

use super::{
    server_health::{health_of_server, server_health},
    version::{version, version_to_proto},
};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits, resource_name,
};

invalid! {
    /// Error of an invalid proxy message.
    InvalidProxy: "proxy";
}

impl ProtoConversion for ProxyStatus {
    type Proto = pb::Proxy;
    type Invalid = InvalidProxy;

    fn from_proto(proto: &pb::Proxy) -> Result<Self, InvalidProxy> {
        let id = resource_name::parse::<ProxyStatus>(&proto.name)
            .map_err(|e| FieldViolation::new("name", e))?;
        let started = field::timestamp("start_time", proto.start_time.as_ref())?;
        let last_seen = field::timestamp("last_seen_time", proto.last_seen_time.as_ref())?;
        let stream_started =
            field::timestamp("stream_start_time", proto.stream_start_time.as_ref())?;
        field::max_count("refusals", proto.refusals.len(), limits::REFUSALS)?;
        let rejections = proto.refusals.iter().enumerate();
        let rejections: Result<Vec<_>, FieldViolation> = rejections
            .map(|(at, given)| rejection(given).map_err(|v| v.under(&format!("refusals[{at}]"))))
            .collect();
        field::max_count("servers", proto.servers.len(), limits::HEALTH_SERVERS)?;
        let servers = proto.servers.iter().enumerate();
        let servers: Result<Vec<_>, FieldViolation> = servers
            .map(|(at, given)| server_health(given).map_err(|v| v.under(&format!("servers[{at}]"))))
            .collect();
        Ok(Self {
            id,
            region: field::line("region", &proto.region, limits::SHORT)?,
            build: field::line("build", &proto.build, limits::SHORT)?,
            listen: field::line("listen", &proto.listen, limits::URL)?,
            started: started.unwrap_or(Timestamp(0)),
            last_seen: last_seen.unwrap_or(Timestamp(0)),
            connected: proto.connected,
            stream_started: stream_started.unwrap_or(Timestamp(0)),
            held: version(proto.held.as_ref()),
            acked: version(proto.acked.as_ref()),
            rejections: rejections?,
            clock: clock(proto)?,
            servers: servers?,
        })
    }

    fn to_proto(&self) -> pb::Proxy {
        let to_proto = |rejection: &ResourceRejection| pb::ResourceRefusal {
            resource: rejection.resource.to_string(),
            reason: rejection.reason.clone(),
            version: Some(version_to_proto(self.acked)),
        };
        pb::Proxy {
            name: resource_name::format::<ProxyStatus>(&self.id),
            region: self.region.clone(),
            build: self.build.clone(),
            start_time: field::to_known_timestamp(self.started),
            last_seen_time: field::to_known_timestamp(self.last_seen),
            connected: self.connected,
            stream_start_time: field::to_known_timestamp(self.stream_started),
            wanted: None,
            held: Some(version_to_proto(self.held)),
            acked: Some(version_to_proto(self.acked)),
            refusals: self.rejections.iter().map(to_proto).collect(),
            listen: self.listen.clone(),
            servers: self.servers.iter().map(health_of_server).collect(),
            clock_offset: self.clock.map(|clock| milliseconds(clock.ahead_ms)),
            clock_error: self
                .clock
                .map(|clock| milliseconds(i64::try_from(clock.error_ms).unwrap_or(i64::MAX))),
        }
    }
}

fn clock(proto: &pb::Proxy) -> Result<Option<ClockReading>, FieldViolation> {
    let Some(offset) = &proto.clock_offset else {
        return Ok(None);
    };
    let error = proto.clock_error.as_ref().map_or(0, whole_milliseconds);
    let wrong = |_negative| FieldViolation::new("clock_error", "is negative");
    Ok(Some(ClockReading {
        ahead_ms: whole_milliseconds(offset),
        error_ms: u64::try_from(error).map_err(wrong)?,
    }))
}

fn milliseconds(given: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: given / 1000,
        nanos: i32::try_from(given % 1000).unwrap_or_default() * 1_000_000,
    }
}

fn whole_milliseconds(given: &prost_types::Duration) -> i64 {
    let nanos = i64::from(given.nanos) / 1_000_000;
    given.seconds.saturating_mul(1000).saturating_add(nanos)
}

fn rejection(given: &pb::ResourceRefusal) -> Result<ResourceRejection, FieldViolation> {
    let wrong = || FieldViolation::new("resource", "is not `<kind>/<organization>/<id>`");
    let mut parts = given.resource.splitn(3, '/');
    let kind = match parts.next() {
        Some("gateway") => SnapshotResourceKind::Gateway,
        Some("server") => SnapshotResourceKind::Server,
        Some("catalogue") => SnapshotResourceKind::Catalogue,
        Some("token") => SnapshotResourceKind::Token,
        Some(_) | None => return Err(wrong()),
    };
    let (Some(org), Some(id)) = (parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let name = ObjectName::new(field::slug("resource", org)?, field::slug("resource", id)?);
    Ok(ResourceRejection {
        resource: ResourceKey { kind, name },
        reason: field::bounded("reason", &given.reason, limits::REASON)?,
    })
}
