//! Conversion of servers: connection parameters, and the requests they may send to clients.

use toolgate_model::{
    CallTimeouts, CredentialScope, Endpoint, EndpointList, RelayPolicy, SessionSharing,
    snapshot::{CredentialRef, ServerResource},
};
use toolgate_proto::push::v1 as pb;

use crate::{admin, field, invalid::FieldViolation, limits};

pub(super) fn checked(given: &pb::Server) -> Result<ServerResource, FieldViolation> {
    let credential = match given.credential.as_str() {
        "" => None,
        id => Some(CredentialRef {
            id: field::slug("credential", id)?,
            revision: given.credential_revision,
            scope: scope("credential_scope", &given.credential_scope)?,
        }),
    };
    Ok(ServerResource {
        endpoints: endpoints(given)?,
        credential,
        era: admin::era("era", &given.era)?,
        protocol_version: field::line("protocol_version", &given.protocol_version, limits::SHORT)?,
        legacy_version: field::line("legacy_version", &given.legacy_version, limits::SHORT)?,
        timeouts: CallTimeouts {
            connect: field::timeout_ms("connect_ms", given.connect_ms)?,
            first_byte: field::timeout_ms("first_byte_ms", given.first_byte_ms)?,
            idle: field::timeout_ms("idle_ms", given.idle_ms)?,
            total: field::timeout_ms("total_ms", given.total_ms)?,
        },
        relay: relay(given.relay.as_ref()),
        sharing: sharing("sharing", &given.sharing)?,
        max_answer: field::max_answer("max_answer_mib", given.max_answer_mib)?,
    })
}

pub(super) fn to_proto(given: &ServerResource) -> pb::Server {
    let credential = given.credential.as_ref();
    pb::Server {
        url: given.endpoints.first().url.to_string(),
        endpoints: endpoints_to_proto(&given.endpoints),
        credential_scope: credential
            .map_or("", |c| scope_to_proto(c.scope))
            .to_owned(),
        credential: credential.map(|c| c.id.to_string()).unwrap_or_default(),
        credential_revision: credential.map(|c| c.revision).unwrap_or_default(),
        era: admin::era_to_proto(given.era).to_owned(),
        protocol_version: given.protocol_version.clone(),
        legacy_version: given.legacy_version.clone(),
        connect_ms: field::to_ms(given.timeouts.connect),
        first_byte_ms: field::to_ms(given.timeouts.first_byte),
        idle_ms: field::to_ms(given.timeouts.idle),
        total_ms: field::to_ms(given.timeouts.total),
        relay: Some(pb::Relay {
            elicitation: given.relay.elicitation,
            sampling: given.relay.sampling,
            roots: given.relay.roots,
        }),
        sharing: sharing_to_proto(given.sharing).to_owned(),
        max_answer_mib: given.max_answer.mebibytes(),
    }
}

fn endpoints(given: &pb::Server) -> Result<EndpointList, FieldViolation> {
    let listed = given.endpoints.iter();
    let listed = listed.map(|one| (one.url.as_str(), one.region.as_str()));
    match admin::endpoint_list("endpoints", listed)? {
        Some(endpoints) => Ok(endpoints),
        None => Ok(admin::endpoint_url("url", &given.url)?.into()),
    }
}

fn endpoints_to_proto(given: &EndpointList) -> Vec<pb::Endpoint> {
    if given.as_single_url().is_some() {
        return Vec::new();
    }
    let one = |given: &Endpoint| pb::Endpoint {
        url: given.url.to_string(),
        region: given.region.clone().unwrap_or_default(),
    };
    given.iter().map(one).collect()
}

fn scope(field: &str, given: &str) -> Result<CredentialScope, FieldViolation> {
    match given {
        "" => Ok(CredentialScope::Shared),
        "principal" => Ok(CredentialScope::PerPrincipal),
        _ => Err(FieldViolation::new(
            field,
            "is neither empty nor `principal`",
        )),
    }
}

fn scope_to_proto(scope: CredentialScope) -> &'static str {
    match scope {
        CredentialScope::Shared => "",
        CredentialScope::PerPrincipal => "principal",
    }
}

fn relay(given: Option<&pb::Relay>) -> RelayPolicy {
    given.map_or_else(RelayPolicy::default, |given| RelayPolicy {
        elicitation: given.elicitation,
        sampling: given.sampling,
        roots: given.roots,
    })
}

fn sharing(field: &str, given: &str) -> Result<SessionSharing, FieldViolation> {
    match given {
        "" | "principal" => Ok(SessionSharing::PerPrincipal),
        "session" => Ok(SessionSharing::PerSession),
        "shared" => Ok(SessionSharing::Shared),
        _ => {
            let reason = "is neither `principal`, `session` nor `shared`";
            Err(FieldViolation::new(field, reason))
        }
    }
}

fn sharing_to_proto(sharing: SessionSharing) -> &'static str {
    match sharing {
        SessionSharing::PerPrincipal => "principal",
        SessionSharing::PerSession => "session",
        SessionSharing::Shared => "shared",
    }
}
