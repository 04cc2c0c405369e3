//! Conversion of the health of a server as a proxy sees it.

use toolgate_model::{EndpointFailure, HealthState, Server, ServerHealth, Slug, Timestamp};
use toolgate_proto::admin::v1 as pb;

use crate::{admin::endpoint, field, invalid::FieldViolation, limits, resource_name};

/// Converts from a message of a proxy, which names the server.
pub(super) fn server_health(given: &pb::ServerHealth) -> Result<ServerHealth, FieldViolation> {
    let server = resource_name::parse::<Server>(&given.server)
        .map_err(|error| FieldViolation::new("server", error))?;
    let failing_since = field::timestamp("failing_since_time", given.failing_since_time.as_ref())?;
    Ok(ServerHealth {
        server,
        state: state(given.state),
        failing_since: failing_since.unwrap_or(Timestamp(0)),
        recovered: field::timestamp("recover_time", given.recover_time.as_ref())?,
        failure: field::line("failure", &given.failure, limits::SHORT)?,
        detail: field::line("detail", &given.detail, limits::REASON)?,
        outages: given.outages,
        endpoints: field::each(
            "endpoints",
            &given.endpoints,
            limits::ENDPOINTS,
            endpoint_failure,
        )?,
    })
}

fn endpoint_failure(given: &pb::EndpointFailure) -> Result<EndpointFailure, FieldViolation> {
    let since = field::timestamp("failing_since_time", given.failing_since_time.as_ref())?;
    Ok(EndpointFailure {
        endpoint: endpoint(&given.url, &given.region)?,
        failing_since: since.unwrap_or(Timestamp(0)),
        failure: field::line("failure", &given.failure, limits::SHORT)?,
        detail: field::line("detail", &given.detail, limits::REASON)?,
    })
}

fn endpoint_to_proto(failed: &EndpointFailure) -> pb::EndpointFailure {
    pb::EndpointFailure {
        url: failed.endpoint.url.to_string(),
        region: failed.endpoint.region.clone().unwrap_or_default(),
        failing_since_time: field::to_known_timestamp(failed.failing_since),
        failure: failed.failure.clone(),
        detail: failed.detail.clone(),
    }
}

/// Converts to a message that names neither the server nor the proxy.
fn to_proto(health: &ServerHealth) -> pb::ServerHealth {
    let state = match health.state {
        HealthState::Available => pb::HealthState::Available,
        HealthState::Unavailable => pb::HealthState::Unavailable,
        HealthState::Unauthorized => pb::HealthState::Unauthorized,
    };
    pb::ServerHealth {
        server: String::new(),
        proxy: String::new(),
        state: state.into(),
        failing_since_time: field::to_known_timestamp(health.failing_since),
        recover_time: health.recovered.map(field::to_timestamp),
        failure: health.failure.clone(),
        detail: health.detail.clone(),
        outages: health.outages,
        endpoints: health.endpoints.iter().map(endpoint_to_proto).collect(),
    }
}

/// Converts to a message of a proxy.
pub(super) fn health_of_server(health: &ServerHealth) -> pb::ServerHealth {
    pb::ServerHealth {
        server: resource_name::format::<Server>(&health.server),
        ..to_proto(health)
    }
}

/// Converts to a message of the status of a server.
pub fn health_seen_by(proxy: &Slug, health: &ServerHealth) -> pb::ServerHealth {
    pb::ServerHealth {
        proxy: proxy.to_string(),
        ..to_proto(health)
    }
}

/// Converts a state. A state that this build does not know is a failure.
fn state(given: i32) -> HealthState {
    match pb::HealthState::try_from(given) {
        Ok(pb::HealthState::Available) => HealthState::Available,
        Ok(pb::HealthState::Unauthorized) => HealthState::Unauthorized,
        Ok(pb::HealthState::Unavailable | pb::HealthState::Unspecified) | Err(_) => {
            HealthState::Unavailable
        }
    }
}
