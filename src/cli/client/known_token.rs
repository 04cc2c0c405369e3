//! Finds the record of a token whose secret is at hand, by the beginning of the secret that the record holds.

use serde_json::Value;

use crate::cli::{
    client::{admin::AdminClient, kind::TOKEN, object_problem::problems, token_scope},
    output::cell,
};

/// Returns the records of the tokens that begin as a secret does. Usually there is one. None can be found if the admin
/// token may not read tokens.
pub async fn find(admin: &mut AdminClient, secret: &str) -> Vec<Value> {
    let mut tokens = admin.list(&TOKEN).await.unwrap_or_default();
    tokens.retain(|token| begins(token, secret));
    tokens
}

/// Returns `true` if a secret begins as the record of a token tells.
pub fn begins(token: &Value, secret: &str) -> bool {
    let hint = token["status"]["hint"].as_str().unwrap_or_default();
    !hint.is_empty() && secret.trim().starts_with(hint)
}

/// Returns the reason why a token is refused by a gateway, as far as its record tells it.
pub fn refusal(token: &Value, gateway: &str, now: u64) -> Option<String> {
    let id = cell::id(token, "/metadata/name");
    if token["status"]["revoked"] == true {
        let since = cell::age(token, "/status/revokeTime", now);
        return Some(format!("the token {id} was revoked {since} ago"));
    }
    let expires = token.pointer("/spec/expireTime").and_then(Value::as_str);
    if let Some(at) = expires.filter(|at| cell::parse_timestamp(at).is_some_and(|at| at <= now)) {
        return Some(format!("the token {id} expired at {at}"));
    }
    if token["spec"]["noGateways"] == true {
        return Some(format!(
            "the token {id} is for the admin API, and for no gateway"
        ));
    }
    let gateways = token["spec"]["gateways"].as_array()?;
    let gateways: Vec<_> = gateways.iter().filter_map(Value::as_str).collect();
    if gateways.is_empty() {
        return None;
    }
    let Some(index) = gateways.iter().position(|it| *it == gateway) else {
        let listed = gateways.join(", ");
        return Some(format!("the token {id} is for {listed}, not for {gateway}"));
    };
    let field = token_scope::gateway_field(index);
    let mut problems = problems(token).into_iter();
    let problem = problems.find(|problem| problem.field == field)?;
    Some(format!("the token {id} is refused: {}", problem.sentence()))
}

#[cfg(test)]
mod tests;
