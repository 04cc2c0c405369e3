//! Health of a gateway as its status tells it. A problem that keeps a whole server or gateway from being offered is told apart
//! from a warning, which leaves a part out.

use serde_json::Value;

/// Signs of a problem that leaves out a part, or changes nothing that is offered.
const WARNINGS: [&str; 5] = [
    " is not offered as a whole: ",
    " is shaped and not exposed; ",
    " declares no argument ",
    " looks like `",
    "has one of that URI and is bound earlier",
];

fn problems(gateway: &Value) -> impl Iterator<Item = &str> {
    let problems = gateway
        .pointer("/status/problems")
        .and_then(Value::as_array);
    problems.into_iter().flatten().filter_map(Value::as_str)
}

/// Returns `true` if a problem of a gateway is a warning: the gateway offers everything else.
pub fn is_warning(problem: &str) -> bool {
    WARNINGS.iter().any(|sign| problem.contains(sign))
}

/// Returns the first problem because of which a gateway is not ready.
pub fn problem(gateway: &Value) -> Option<&str> {
    problems(gateway).find(|problem| !is_warning(problem))
}

/// Returns the warnings about a gateway.
pub fn warnings(gateway: &Value) -> Vec<String> {
    let warnings = problems(gateway).filter(|problem| is_warning(problem));
    warnings.map(str::to_owned).collect()
}
