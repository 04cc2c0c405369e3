//! Scope and state of a token as its record tells them: the gateways and tools that it opens, and until when.

use serde_json::Value;

use crate::cli::{client::object_problem::problems, output::cell};

/// Prefix of the ids of temporary tokens.
pub const TEMPORARY_TOKEN_PREFIX: &str = "cli-";

/// Returns `true` for a token that the command line creates for one command.
pub fn is_temporary(token: &Value) -> bool {
    cell::id(token, "/metadata/name").starts_with(TEMPORARY_TOKEN_PREFIX)
}

/// Returns the ids of the gateways that a token lists.
pub fn listed_gateways(token: &Value) -> Vec<&str> {
    let listed = token.pointer("/spec/gateways").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Returns `true` if a token opens all gateways of its organization.
pub fn opens_all_gateways(token: &Value) -> bool {
    listed_gateways(token).is_empty() && token["spec"]["noGateways"] != true
}

/// Returns the ids of the gateways that a token lists and that do not admit it: each of them was deleted after the token
/// was given it. A gateway made later under the same id is another one.
pub fn lost_gateways(token: &Value) -> Vec<&str> {
    let problems = problems(token);
    let is_lost = |index: usize| {
        let field = gateway_field(index);
        problems.iter().any(|problem| problem.field == field)
    };
    let listed = listed_gateways(token).into_iter().enumerate();
    let lost = listed.filter(|(index, _)| is_lost(*index));
    lost.map(|(_, id)| id).collect()
}

/// Returns the field of a token that lists a gateway.
pub fn gateway_field(index: usize) -> String {
    format!("spec.gateways[{index}]")
}

/// Returns the end of a token in Unix milliseconds, if it has one.
pub fn expiry(token: &Value) -> Option<u64> {
    let at = token.pointer("/spec/expireTime").and_then(Value::as_str);
    at.and_then(cell::parse_timestamp)
}

/// Returns `true` if a token is revoked, or has expired at `now`.
pub fn has_ended(token: &Value, now: u64) -> bool {
    token["status"]["revoked"] == true || expiry(token).is_some_and(|at| at <= now)
}

/// Returns the state of a token: `valid`, `revoked`, `expired` or `gateway deleted`. A token that still opens some of its
/// gateways is valid, with the names of the others.
pub fn state(token: &Value, now: u64) -> String {
    if token["status"]["revoked"] == true {
        return "revoked".to_owned();
    }
    if has_ended(token, now) {
        return "expired".to_owned();
    }
    let lost = lost_gateways(token);
    match lost.len() {
        0 => "valid".to_owned(),
        count if count == listed_gateways(token).len() => "gateway deleted".to_owned(),
        _ => format!("valid; deleted: {}", lost.join(",")),
    }
}

/// Returns the gateways that a token lists for a table: their ids, `all` or `none`.
pub fn gateways_cell(token: &Value) -> String {
    if token.pointer("/spec/noGateways") == Some(&Value::Bool(true)) {
        return "none".to_owned();
    }
    let listed = listed_gateways(token);
    match listed.is_empty() {
        true => "all".to_owned(),
        false => listed.join(","),
    }
}

/// Returns the tools that a token lists for a table: their names, `all` or `none`.
pub fn tools_cell(token: &Value) -> String {
    if token.pointer("/spec/noTools") == Some(&Value::Bool(true)) {
        return "none".to_owned();
    }
    match cell::joined_strings(token, "/spec/tools").as_str() {
        "-" => "all".to_owned(),
        tools => tools.to_owned(),
    }
}

/// Returns the names of the tools that a token is limited to, if it is limited.
pub fn tool_limit(token: &Value) -> Option<Vec<&str>> {
    if token.pointer("/spec/noTools") == Some(&Value::Bool(true)) {
        return Some(Vec::new());
    }
    let listed = token.pointer("/spec/tools").and_then(Value::as_array)?;
    let listed: Vec<_> = listed.iter().filter_map(Value::as_str).collect();
    (!listed.is_empty()).then_some(listed)
}

/// Returns the subject of a token for a table.
pub fn subject_cell(token: &Value) -> String {
    let spec = &token["spec"];
    match (spec["team"].as_str(), spec["user"].as_str()) {
        (Some(team), _) => format!("team {team}"),
        (None, Some(user)) => format!("user {user}"),
        (None, None) => "itself".to_owned(),
    }
}

/// Returns the end of a token for a table.
pub fn expiry_cell(token: &Value) -> String {
    match cell::text(token, "/spec/expireTime").as_str() {
        "-" => "never".to_owned(),
        at => at.to_owned(),
    }
}

/// Describes in words what a token opens.
pub fn opens(token: &Value) -> String {
    let lost = lost_gateways(token);
    if !lost.is_empty() && lost.len() == listed_gateways(token).len() {
        return format!("nothing: its gateways were deleted ({})", lost.join(", "));
    }
    let gateways = match gateways_cell(token).as_str() {
        "none" => return "no gateway; it is for the admin API only".to_owned(),
        "all" => "every gateway of the organization, also those made later".to_owned(),
        listed => format!("gateway {}", listed.replace(',', ", gateway ")),
    };
    let tools = match tools_cell(token).as_str() {
        "all" => String::new(),
        "none" => "; no tool".to_owned(),
        listed => format!("; of the tools only {}", listed.replace(',', ", ")),
    };
    let lost = match lost.is_empty() {
        true => String::new(),
        false => format!("; deleted since: {}", lost.join(", ")),
    };
    format!("{gateways}{tools}{lost}")
}

/// Describes in words until when a token works.
pub fn ends(token: &Value) -> String {
    match token.pointer("/spec/expireTime").and_then(Value::as_str) {
        Some(at) => format!("expires at {at}"),
        None => "does not expire".to_owned(),
    }
}

#[cfg(test)]
mod tests;
