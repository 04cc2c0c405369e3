//! Conversion of the reports of a proxy.

use std::time::Duration;

use toolgate_model::{
    ClockReading, EndpointFailure, HealthState, ObjectName, ServerHealth, Slug, Timestamp,
    server_health::HEALTH_DETAIL,
};
use toolgate_proto::push::v1 as pb;

use crate::{
    ProtoConversion,
    admin::endpoint,
    field,
    invalid::{FieldViolation, invalid},
    limits,
};

invalid! {
    /// Error of an invalid report.
    InvalidReport: "report";
}

/// Observations of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyReport {
    /// Id of the proxy.
    pub proxy: Slug,
    /// Time of the proxy's clock when the report was sent.
    pub sent: Timestamp,
    /// Duration from the last report to its answer; `None` before the first answer.
    pub round_trip: Option<Duration>,
    /// Servers whose health has changed. Times are of the clock that showed `sent`.
    pub servers: Vec<ServerHealth>,
    /// True if `servers` replaces what was reported before.
    pub replaces_servers: bool,
}

impl ProxyReport {
    /// Compares the proxy's clock with another clock, which showed `received` when this report arrived; `None` while the duration of
    /// messages is not known.
    pub fn clock(&self, received: Timestamp) -> Option<ClockReading> {
        let round_trip = self.round_trip?;
        Some(ClockReading::of_message(self.sent, received, round_trip))
    }

    /// Returns the health of the servers with times of a clock that showed `received` when this report arrived.
    pub fn servers_at(&self, received: Timestamp) -> Vec<ServerHealth> {
        let at = |time: Timestamp| Timestamp(received.0.saturating_sub(self.age(time)));
        let moved = self.servers.iter().map(|it| ServerHealth {
            failing_since: at(it.failing_since),
            recovered: it.recovered.map(at),
            endpoints: it
                .endpoints
                .iter()
                .map(|failed| EndpointFailure {
                    failing_since: at(failed.failing_since),
                    ..failed.clone()
                })
                .collect(),
            ..it.clone()
        });
        moved.collect()
    }

    fn age(&self, time: Timestamp) -> u64 {
        self.sent.0.saturating_sub(time.0)
    }

    fn health_to_proto(&self, health: &ServerHealth) -> pb::ServerHealth {
        let state = match health.state {
            HealthState::Available => pb::HealthState::Available,
            HealthState::Unavailable => pb::HealthState::Unavailable,
            HealthState::Unauthorized => pb::HealthState::Unauthorized,
        };
        pb::ServerHealth {
            org: health.server.org.to_string(),
            server: health.server.id.to_string(),
            state: state.into(),
            failing_ms: self.age(health.failing_since),
            // 0 means that the failure lasts.
            recovered_ms: health.recovered.map_or(0, |at| self.age(at).max(1)),
            failure: health.failure.clone(),
            detail: health.detail.clone(),
            outages: health.outages,
            endpoints: health
                .endpoints
                .iter()
                .map(|it| self.endpoint_to_proto(it))
                .collect(),
        }
    }

    fn endpoint_to_proto(&self, failed: &EndpointFailure) -> pb::EndpointFailure {
        pb::EndpointFailure {
            url: failed.endpoint.url.to_string(),
            region: failed.endpoint.region.clone().unwrap_or_default(),
            failing_ms: self.age(failed.failing_since),
            failure: failed.failure.clone(),
            detail: failed.detail.clone(),
        }
    }
}

impl ProtoConversion for ProxyReport {
    type Proto = pb::ProxyReport;
    type Invalid = InvalidReport;

    fn from_proto(proto: &pb::ProxyReport) -> Result<Self, InvalidReport> {
        let proxy: Result<Slug, FieldViolation> = field::slug("proxy_id", &proto.proxy_id);
        field::max_count("servers", proto.servers.len(), limits::HEALTH_SERVERS)?;
        let sent = Timestamp(proto.sent_time_ms);
        let servers = proto.servers.iter().enumerate();
        let servers: Result<Vec<_>, FieldViolation> = servers
            .map(|(at, given)| health(given, sent).map_err(|v| v.under(&format!("servers[{at}]"))))
            .collect();
        Ok(Self {
            proxy: proxy?,
            sent,
            round_trip: proto.round_trip_ms.map(Duration::from_millis),
            servers: servers?,
            replaces_servers: proto.replaces_servers,
        })
    }

    fn to_proto(&self) -> pb::ProxyReport {
        pb::ProxyReport {
            proxy_id: self.proxy.to_string(),
            sent_time_ms: self.sent.0,
            round_trip_ms: self.round_trip.map(field::to_ms),
            servers: self
                .servers
                .iter()
                .map(|it| self.health_to_proto(it))
                .collect(),
            replaces_servers: self.replaces_servers,
        }
    }
}

/// Converts the health of a server. A state that this build does not know is a failure.
fn health(given: &pb::ServerHealth, sent: Timestamp) -> Result<ServerHealth, FieldViolation> {
    let org = field::slug("org", &given.org)?;
    let ago = |passed: u64| Timestamp(sent.0.saturating_sub(passed));
    Ok(ServerHealth {
        server: ObjectName::new(org, field::slug("server", &given.server)?),
        state: match pb::HealthState::try_from(given.state) {
            Ok(pb::HealthState::Available) => HealthState::Available,
            Ok(pb::HealthState::Unauthorized) => HealthState::Unauthorized,
            Ok(pb::HealthState::Unavailable | pb::HealthState::Unspecified) | Err(_) => {
                HealthState::Unavailable
            }
        },
        failing_since: ago(given.failing_ms),
        recovered: (given.recovered_ms > 0).then(|| ago(given.recovered_ms)),
        failure: field::line("failure", &given.failure, limits::SHORT)?,
        detail: field::line("detail", &given.detail, HEALTH_DETAIL)?,
        outages: given.outages,
        endpoints: field::each("endpoints", &given.endpoints, limits::ENDPOINTS, |failed| {
            endpoint_failure(failed, sent)
        })?,
    })
}

fn endpoint_failure(
    given: &pb::EndpointFailure,
    sent: Timestamp,
) -> Result<EndpointFailure, FieldViolation> {
    Ok(EndpointFailure {
        endpoint: endpoint(&given.url, &given.region)?,
        failing_since: Timestamp(sent.0.saturating_sub(given.failing_ms)),
        failure: field::line("failure", &given.failure, limits::SHORT)?,
        detail: field::line("detail", &given.detail, HEALTH_DETAIL)?,
    })
}
