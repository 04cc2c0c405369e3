//! Warnings about objects that were accepted.

use serde_json::Value;

use crate::cli::{
    client::{object_problem, probe_result},
    commands::gateway::offers_something,
    output::cell,
};

/// Lists the problems of an accepted object, including bindings that offer nothing.
pub(super) fn warnings_of(object: &Value) -> Vec<String> {
    let problems = object_problem::problems(object).into_iter();
    let problems = problems.map(|problem| problem.text.to_owned());
    // Servers only.
    let probe = probe_result::problem(&object["status"]).map(|problem| {
        let since = cell::text(object, "/status/problemSinceTime");
        let id = cell::id(object, "/metadata/name");
        let told = match probe_result::has_answered(&problem) {
            true => "the server answers, with a problem",
            false => "the last probe failed",
        };
        format!(
            "{told}: {} (since {since}); after the fix `toolgate server probe {id}` looks again at once",
            problem.text
        )
    });
    let omissions = crate::cli::commands::server::omissions(&object["status"]).map(str::to_owned);
    let bindings = object.pointer("/spec/bindings");
    let bindings = bindings.and_then(Value::as_array).into_iter().flatten();
    let empty = bindings.enumerate().filter(|(_, it)| !offers_something(it));
    let empty = empty.map(|(index, it)| {
        format!(
            "spec.bindings[{index}] offers nothing of the server {}: write `allTools: true`, or name its `tools`",
            cell::text(it, "/server")
        )
    });
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let is_gateway = name.is_some_and(|name| name.contains("/gateways/"));
    let bound = object.pointer("/spec/bindings").and_then(Value::as_array);
    let without = (is_gateway && bound.is_none_or(Vec::is_empty))
        .then(|| "spec.bindings is empty, so that the gateway offers nothing: a binding names a `server`, and `allTools: true` or `tools`".to_owned());
    let servers = probe.into_iter().chain(omissions);
    problems
        .chain(servers)
        .chain(empty)
        .chain(without)
        .collect()
}
