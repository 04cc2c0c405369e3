//! What is wrong with gateways and servers, in words. What a probe found is no part of a snapshot, so the words that
//! compiling has for it are completed here from the catalogue, which changes without a new version.

use toolgate_control_core::{ProblemKind, limits};
use toolgate_model::{Name, ResourceKey, ResourceKind, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::field;

use crate::desk::Published;

/// What keeps parts of a gateway from being offered.
pub(crate) fn of_gateway(id: &Name, published: &Published) -> Vec<String> {
    let key = ResourceKey {
        kind: ResourceKind::Gateway,
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
        | ProblemKind::OwnName { .. }
        | ProblemKind::TooMany { .. }
        | ProblemKind::IdTaken(_)
        | ProblemKind::NoCredential(_)
        | ProblemKind::NoApprovals
        | ProblemKind::ServerNotServed(_)
        | ProblemKind::NotOffered { .. }
        | ProblemKind::ShapeUnused { .. }
        | ProblemKind::NoArgument { .. }
        | ProblemKind::HiddenRequired { .. }
        | ProblemKind::SameUri { .. } => problem.to_string(),
    });
    worded.collect()
}

/// What the last probe of a server found; nothing before the first one has ended.
pub(crate) fn of_server(id: &Name, published: &Published) -> Option<pb::ServerStatus> {
    let catalogue = published.state.catalogues.get(id)?;
    Some(pb::ServerStatus {
        probe_time: field::to_known_timestamp(catalogue.probed),
        seen: catalogue.era.is_some(),
        problem: catalogue.problem.clone().unwrap_or_default(),
        problem_since_time: catalogue.problem_since.map(field::to_timestamp),
    })
}

/// Why nothing is known of a server that has been asked.
fn of_failed_probe(org: &Slug, server: &Slug, published: &Published) -> Option<String> {
    let name = Name::new(org.clone(), server.clone());
    let catalogue = published.state.catalogues.get(&name)?;
    let problem = catalogue.problem.as_ref()?;
    let since = field::to_timestamp(catalogue.problem_since.unwrap_or(catalogue.probed));
    let minutes = limits::PROBE_INTERVAL.as_secs() / 60;
    Some(format!(
        "server {server} could not be probed, and never was: {problem} (since {since}). It is probed again within \
         {minutes} minutes; after the fix `toolgate server probe {server}` does it at once"
    ))
}
