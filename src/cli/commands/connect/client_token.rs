//! Tokens that `connect --write` creates. They expire by default. The entry in a client's settings file identifies
//! the token that it holds, so that `--undo` and the next `--write` can revoke it.

use std::time::Duration;

use serde_json::Value;

use super::clients::ClientProfile;
use crate::cli::{
    client::{admin::AdminClient, gateway_access, kind::TOKEN},
    commands::token::{self, TokenExpiry, TokenRequest},
    output::{cell, error::CliError},
};

/// Newly created token.
pub struct ClientToken {
    /// Id of the token.
    pub id: String,
    /// Secret that the client presents.
    pub secret: String,
}

/// Creates a token for a client. Without `ttl` the token is valid until it is revoked.
pub async fn create(
    admin: &mut AdminClient,
    client: &ClientProfile,
    gateway: &str,
    ttl: Option<Duration>,
) -> Result<ClientToken, CliError> {
    let (id, token_request) = request(client, gateway, ttl);
    let created = token::create_token(admin, &id, &token_request, false).await?;
    let secret = created["secret"].as_str().unwrap_or_default().to_owned();
    Ok(ClientToken { id, secret })
}

/// Checks that [`create`] would succeed.
pub async fn check(
    admin: &mut AdminClient,
    client: &ClientProfile,
    gateway: &str,
    ttl: Option<Duration>,
) -> Result<(), CliError> {
    let (id, token_request) = request(client, gateway, ttl);
    let checked = token::create_token(admin, &id, &token_request, true).await;
    checked.map(drop)
}

/// Returns the id and the fields of a new token for a client.
fn request(client: &ClientProfile, gateway: &str, ttl: Option<Duration>) -> (String, TokenRequest) {
    let token_request = TokenRequest {
        gateways: vec![gateway.to_owned()],
        description: description(client),
        expiry: ttl.map(TokenExpiry::After),
        ..TokenRequest::default()
    };
    let id = format!("{}-{}", client.id, gateway_access::short_id());
    (id, token_request)
}

/// Deletes a token that no client received.
pub async fn delete_unused(admin: &mut AdminClient, issued: &ClientToken) -> Result<(), CliError> {
    let name = TOKEN.resource_name(admin.organization(), &issued.id);
    admin.delete(&TOKEN, &name, false).await
}

/// Revokes the token in the entry of a client's settings file if `connect` created it. Returns its id.
pub async fn revoke(
    admin: &mut AdminClient,
    client: &ClientProfile,
    entry: &str,
) -> Result<Option<String>, CliError> {
    let Some(id) = former(admin, client, entry).await? else {
        return Ok(None);
    };
    let name = TOKEN.resource_name(admin.organization(), &id);
    token::revoke(admin, &name).await?;
    Ok(Some(id))
}

/// Returns the id of the token in the entry of a client's settings file if `connect` created it.
pub async fn former(
    admin: &mut AdminClient,
    client: &ClientProfile,
    entry: &str,
) -> Result<Option<String>, CliError> {
    let tokens = admin.list(&TOKEN).await?;
    Ok(find_token(&tokens, client, entry))
}

/// Finds the token created by `connect` whose hint occurs in the entry. Returns `None` if more than one matches.
fn find_token(tokens: &[Value], client: &ClientProfile, entry: &str) -> Option<String> {
    let is_client_token = |token: &&Value| {
        let hint = token.pointer("/status/hint").and_then(Value::as_str);
        let hint = hint.map(|hint| hint.trim_end_matches('…'));
        let described = token.pointer("/spec/description").and_then(Value::as_str);
        token.pointer("/status/revoked") != Some(&Value::Bool(true))
            && described == Some(description(client).as_str())
            && hint.is_some_and(|hint| !hint.is_empty() && entry.contains(hint))
    };
    let mut found = tokens.iter().filter(is_client_token);
    match (found.next(), found.next()) {
        (Some(token), None) => Some(cell::id(token, "/metadata/name")),
        (Some(_) | None, _) => None,
    }
}

fn description(client: &ClientProfile) -> String {
    format!("Made by `toolgate connect {}`", client.id)
}

#[cfg(test)]
mod tests;
