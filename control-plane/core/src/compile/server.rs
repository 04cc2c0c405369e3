//! One server: how to reach it, what to present to it, and what is known of how it speaks.

use toolgate_model::{
    DriftPolicy, Era, EraPolicy, Name, Server,
    snapshot::{CredentialRef, ServerResource},
};

use crate::state::State;

use super::{Problem, ProblemKind};

/// The resource of `server` within `state`, or why it is not served. Calling it without its credential, or beyond
/// its policy, would be worse than not calling it.
pub fn compile(state: &State, server: &Server) -> Result<ServerResource, Problem> {
    match server.drift {
        DriftPolicy::Follow => {}
        DriftPolicy::Pin | DriftPolicy::Block => {
            let field = "spec.drift".to_owned();
            let kind = ProblemKind::NoApprovals;
            return Err(Problem { field, kind });
        }
    }
    let (era, protocol_version) = speech(state, server);
    Ok(ServerResource {
        url: server.url.as_str().to_owned(),
        credential: credential(state, server)?,
        era,
        protocol_version,
        timeouts: server.timeouts,
        relay: server.relay,
        sharing: server.sharing,
        max_answer: server.max_answer,
    })
}

fn credential(state: &State, server: &Server) -> Result<Option<CredentialRef>, Problem> {
    let Some(id) = &server.credential else {
        return Ok(None);
    };
    let name = Name::new(server.name.org.clone(), id.clone());
    match state.credentials.get(&name) {
        Some(stored) => Ok(Some(CredentialRef {
            id: id.clone(),
            revision: stored.modified,
        })),
        None => Err(Problem {
            field: "spec.credential".to_owned(),
            kind: ProblemKind::NoCredential(name),
        }),
    }
}

/// The era that the operator chose, else the one that was found; the version only if it was found with that era.
fn speech(state: &State, server: &Server) -> (Option<Era>, String) {
    let seen = state.catalogues.get(&server.name);
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
