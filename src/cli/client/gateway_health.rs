//! Health of a gateway as its status tells it. A problem that keeps a whole server or gateway from being offered is told apart
//! from a warning, which leaves a part out.

use serde_json::Value;

use super::object_problem::problems;

/// Returns the first problem because of which a gateway is not ready.
pub fn problem(gateway: &Value) -> Option<&str> {
    let problems = problems(gateway).into_iter();
    let mut errors = problems.filter(|problem| !problem.is_warning);
    errors.next().map(|problem| problem.text)
}

/// Returns the warnings about a gateway.
pub fn warnings(gateway: &Value) -> Vec<String> {
    let problems = problems(gateway).into_iter();
    let warnings = problems.filter(|problem| problem.is_warning);
    warnings.map(|problem| problem.text.to_owned()).collect()
}
