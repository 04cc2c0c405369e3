//! Compiles one server: its address, its credential and its protocol era and version.

use toolgate_model::{
    DriftPolicy, Era, EraPolicy, ObjectName, Server,
    snapshot::{CredentialRef, ServerResource},
};

use crate::state::StoreState;

use super::{ConfigProblem, ProblemKind};

/// Compiles `server` into its resource. Fails if the credential is missing, bound to other hosts, or repeats a query
/// parameter of a URL, or the drift policy is not implemented: calling the server without its credential or against its
/// policy is worse than not calling it.
pub fn compile(state: &StoreState, server: &Server) -> Result<ServerResource, ConfigProblem> {
    match server.drift {
        DriftPolicy::Follow => {}
        DriftPolicy::Pin | DriftPolicy::Block => {
            let field = "spec.drift".to_owned();
            let kind = ProblemKind::NoApprovals;
            return Err(ConfigProblem { field, kind });
        }
    }
    let (era, protocol_version) = protocol(state, server);
    Ok(ServerResource {
        endpoints: server.source.endpoints().clone(),
        credential: credential(state, server)?,
        era,
        protocol_version,
        legacy_version: legacy_version(state, server),
        timeouts: server.timeouts,
        relay: server.relay,
        sharing: server.sharing,
        max_answer: server.max_answer,
    })
}

fn credential(state: &StoreState, server: &Server) -> Result<Option<CredentialRef>, ConfigProblem> {
    let Some(id) = &server.credential else {
        return Ok(None);
    };
    let name = ObjectName::new(server.name.org.clone(), id.clone());
    let problem = |kind| ConfigProblem {
        field: "spec.credential".to_owned(),
        kind,
    };
    let Some(stored) = state.credentials.get(&name) else {
        return Err(problem(ProblemKind::NoCredential(name)));
    };
    let mut endpoints = server.source.endpoints().iter();
    if let Some(outside) = endpoints.find(|it| !stored.hosts.permits(&it.url)) {
        return Err(problem(ProblemKind::CredentialElsewhere {
            credential: name,
            hosts: stored.hosts.clone(),
            url: outside.url.to_string(),
        }));
    }
    let mut endpoints = server.source.endpoints().iter();
    if let Some(parameter) = endpoints.find_map(|it| stored.kind.query_conflict(&it.url)) {
        return Err(problem(ProblemKind::CredentialRepeated {
            credential: name,
            parameter: parameter.to_owned(),
        }));
    }
    Ok(Some(CredentialRef {
        id: id.clone(),
        revision: stored.mod_revision,
        scope: stored.kind.scope(),
    }))
}

/// Returns the version in which a modern server also speaks the legacy era. A pinned server is spoken to in one era.
fn legacy_version(state: &StoreState, server: &Server) -> String {
    let seen = state.definitions.get(&server.name);
    let is_pinned = server.protocol_version.is_some() || server.era != EraPolicy::Probe;
    let both = seen.filter(|seen| !is_pinned && seen.era == Some(Era::Modern));
    both.map_or_else(String::new, |seen| seen.legacy_version.clone())
}

/// Returns the protocol era and version of a server. A version or an era set by the operator takes precedence over what
/// was probed. The probed version is used only if it was probed with the same era.
fn protocol(state: &StoreState, server: &Server) -> (Option<Era>, String) {
    if let Some(pinned) = server.protocol_version {
        return (Some(pinned.era()), pinned.to_string());
    }
    let seen = state.definitions.get(&server.name);
    let seen_era = seen.and_then(|catalogue| catalogue.era);
    let era = match server.era {
        EraPolicy::Legacy => Some(Era::Legacy),
        EraPolicy::Modern => Some(Era::Modern),
        EraPolicy::Probe => seen_era,
    };
    let version = seen.filter(|_| era.is_some() && era == seen_era);
    let version = version.map(|catalogue| catalogue.protocol_version.clone());
    (era, version.unwrap_or_default())
}
