//! Problems of gateways and servers, as text. Probe results are not part of a snapshot, so the problems that the
//! compiler reports are completed here from the server definitions, which change without a new version.

use toolgate_control_core::{ProblemKind, limits, port::PublishedState};
use toolgate_model::{ObjectName, ResourceKey, Slug, SnapshotResourceKind, Timestamp};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::field;

use crate::server_health;

/// Returns the problems that keep parts of a gateway from being exposed.
pub(crate) fn of_gateway(
    id: &ObjectName,
    published: &PublishedState,
    now: Timestamp,
) -> Vec<String> {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: id.clone(),
    };
    let problems = published.compiled.problems_of(&key).iter();
    let worded = problems.map(|problem| match &problem.kind {
        ProblemKind::NotProbed(server) => {
            let failed = of_failed_probe(&id.org, server, published);
            failed.map_or_else(
                || problem.to_string(),
                |failed| format!("{}: {failed}", problem.field),
            )
        }
        ProblemKind::NoServer(_)
        | ProblemKind::BoundTwice(_)
        | ProblemKind::NotSingle(_)
        | ProblemKind::Collision(_)
        | ProblemKind::ReservedName { .. }
        | ProblemKind::TooMany { .. }
        | ProblemKind::IdTaken(_)
        | ProblemKind::NoCredential(_)
        | ProblemKind::CredentialElsewhere { .. }
        | ProblemKind::CredentialRepeated { .. }
        | ProblemKind::NoApprovals
        | ProblemKind::ServerNotServed(_)
        | ProblemKind::DefinitionsOmitted { .. }
        | ProblemKind::NotOffered { .. }
        | ProblemKind::ShapeUnused { .. }
        | ProblemKind::NoArgument { .. }
        | ProblemKind::HiddenRequired { .. }
        | ProblemKind::LooksAlike(_)
        | ProblemKind::GatewayReplaced(_)
        | ProblemKind::GatewayDeleted(_)
        | ProblemKind::DuplicateUri { .. } => problem.to_string(),
    });
    let bound = published.state.gateways.get(id);
    let bound = bound.iter().flat_map(|gateway| &gateway.bindings);
    let failing = bound.filter_map(|binding| {
        let server = ObjectName::new(id.org.clone(), binding.server.clone());
        server_health::failure_everywhere(&server, &published.state, now)
    });
    worded.chain(failing).collect()
}

/// Returns the problems that keep a token from gateways that it lists.
pub(crate) fn of_token(id: &ObjectName, published: &PublishedState) -> Vec<String> {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Token,
        name: id.clone(),
    };
    let problems = published.compiled.problems_of(&key).iter();
    problems.map(ToString::to_string).collect()
}

/// Returns the result of the last probe of a server, and its health as proxies see it; `None` if neither is known.
pub(crate) fn of_server(
    id: &ObjectName,
    published: &PublishedState,
    now: Timestamp,
) -> Option<pb::ServerStatus> {
    let proxies = server_health::of_server(id, &published.state, now);
    let Some(catalogue) = published.state.definitions.get(id) else {
        return (!proxies.is_empty()).then(|| pb::ServerStatus {
            proxies,
            ..pb::ServerStatus::default()
        });
    };
    Some(pb::ServerStatus {
        probe_time: field::to_known_timestamp(catalogue.probed),
        seen: catalogue.era.is_some(),
        problem: catalogue.problem.clone().unwrap_or_default(),
        problem_since_time: catalogue.problem_since.map(field::to_timestamp),
        omissions: catalogue.omissions.clone(),
        proxies,
    })
}

/// Returns the reason why a server that was probed has no definitions.
fn of_failed_probe(org: &Slug, server: &Slug, published: &PublishedState) -> Option<String> {
    let name = ObjectName::new(org.clone(), server.clone());
    let catalogue = published.state.definitions.get(&name)?;
    let problem = catalogue.problem.as_ref()?;
    let since = field::to_timestamp(catalogue.problem_since.unwrap_or(catalogue.probed));
    let seconds = limits::MAX_PROBE_RETRY.as_secs();
    Some(format!(
        "server {server} could not be probed, and never was: {problem} (since {since}). It is probed again within \
         {seconds} s; after the fix `toolgate server probe {server}` does it at once"
    ))
}
