//! Problems of gateways, tokens and servers. Probe results are not part of a snapshot, so the problems that the
//! compiler reports are completed here from the server definitions, which change without a new version.

use toolgate_control_core::{ConfigProblem, ProblemSeverity, limits, port::PublishedState};
use toolgate_model::{ObjectName, ResourceKey, Slug, SnapshotResourceKind, Timestamp};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{admin::probe_result_fields, field};

use crate::server_health;

/// Reason of the problem that a bound server fails for all proxies.
const SERVER_FAILS: &str = "SERVER_FAILS";

/// Returns the problems that keep parts of a gateway from being exposed.
pub(crate) fn of_gateway(
    id: &ObjectName,
    published: &PublishedState,
    now: Timestamp,
) -> Vec<pb::ConfigProblem> {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: id.clone(),
    };
    let problems = published.compiled.problems_of(&key).iter();
    let worded = problems.map(|problem| {
        let failed = problem
            .kind
            .unprobed_server()
            .and_then(|server| of_failed_probe(&id.org, server, published));
        match failed {
            Some(failed) => message(problem, format!("{}: {failed}", problem.field)),
            None => message(problem, problem.to_string()),
        }
    });
    let bound = published.state.gateways.get(id);
    let bound = bound.iter().flat_map(|gateway| &gateway.bindings);
    let failing = bound.filter_map(|binding| {
        let server = ObjectName::new(id.org.clone(), binding.server.clone());
        let text = server_health::failure_everywhere(&server, &published.state, now)?;
        Some(pb::ConfigProblem {
            reason: SERVER_FAILS.to_owned(),
            severity: pb::ProblemSeverity::Error.into(),
            server: binding.server.to_string(),
            text,
            ..pb::ConfigProblem::default()
        })
    });
    worded.chain(failing).collect()
}

/// Returns the problems that keep a token from gateways that it lists.
pub(crate) fn of_token(id: &ObjectName, published: &PublishedState) -> Vec<pb::ConfigProblem> {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Token,
        name: id.clone(),
    };
    let problems = published.compiled.problems_of(&key).iter();
    problems
        .map(|problem| message(problem, problem.to_string()))
        .collect()
}

/// Returns the texts of problems.
pub(crate) fn texts(problems: &[pb::ConfigProblem]) -> Vec<String> {
    problems.iter().map(|it| it.text.clone()).collect()
}

fn message(problem: &ConfigProblem, text: String) -> pb::ConfigProblem {
    let severity = match problem.kind.severity() {
        ProblemSeverity::Warning => pb::ProblemSeverity::Warning,
        ProblemSeverity::Error => pb::ProblemSeverity::Error,
    };
    let server = problem.kind.server();
    pb::ConfigProblem {
        field: problem.field.clone(),
        reason: problem.kind.reason().to_owned(),
        severity: severity.into(),
        server: server.map(ToString::to_string).unwrap_or_default(),
        original_name: problem.kind.original_name().unwrap_or_default().to_owned(),
        text,
    }
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
    let probe = probe_result_fields(catalogue.problem.as_ref());
    let text = catalogue.problem.as_ref().map(|it| it.text.clone());
    Some(pb::ServerStatus {
        probe_time: field::to_known_timestamp(catalogue.probed),
        seen: catalogue.era.is_some(),
        problem: text.unwrap_or_default(),
        problem_since_time: catalogue.problem_since.map(field::to_timestamp),
        omissions: catalogue.omissions.clone(),
        proxies,
        probe_outcome: probe.outcome.into(),
        probe_failure: probe.failure.into(),
    })
}

/// Returns the reason why a server that was probed has no definitions.
fn of_failed_probe(org: &Slug, server: &Slug, published: &PublishedState) -> Option<String> {
    let name = ObjectName::new(org.clone(), server.clone());
    let catalogue = published.state.definitions.get(&name)?;
    let problem = &catalogue.problem.as_ref()?.text;
    let since = field::to_timestamp(catalogue.problem_since.unwrap_or(catalogue.probed));
    let seconds = limits::MAX_PROBE_RETRY.as_secs();
    Some(format!(
        "server {server} could not be probed, and never was: {problem} (since {since}). It is probed again within \
         {seconds} s; after the fix `toolgate server probe {server}` does it at once"
    ))
}
