//! Tokens that `connect --write` creates. They expire by default. The entry in a client's settings file identifies
//! the token that it holds, so that `--undo` and the next `--write` can revoke it.

use std::time::Duration;

use serde_json::Value;

use super::clients::Client;
use crate::cli::{
    admin::Admin,
    cell,
    fault::Fault,
    kind::TOKEN,
    through,
    token::{self, Wish},
};

/// Newly created token.
pub struct Issued {
    /// Id of the token.
    pub id: String,
    /// Secret that the client presents.
    pub secret: String,
}

/// Creates a token for a client. Without `ttl` the token is valid until it is revoked.
pub async fn make(
    admin: &mut Admin,
    client: &Client,
    gateway: &str,
    ttl: Option<Duration>,
) -> Result<Issued, Fault> {
    let id = format!("{}-{}", client.id, through::short_id());
    let wish = Wish {
        gateways: vec![gateway.to_owned()],
        description: description(client),
        ttl,
        ..Wish::default()
    };
    let made = token::mint(admin, &id, &wish).await?;
    let secret = made["secret"].as_str().unwrap_or_default().to_owned();
    Ok(Issued { id, secret })
}

/// Deletes a token that no client received.
pub async fn take_back(admin: &mut Admin, issued: &Issued) -> Result<(), Fault> {
    let name = TOKEN.resource_name(admin.organization(), &issued.id);
    admin.delete(&TOKEN, &name, false).await
}

/// Revokes the token in the entry of a client's settings file if `connect` created it. Returns its id.
pub async fn revoke(
    admin: &mut Admin,
    client: &Client,
    entry: &str,
) -> Result<Option<String>, Fault> {
    let tokens = admin.list(&TOKEN).await?;
    let Some(id) = of_entry(&tokens, client, entry) else {
        return Ok(None);
    };
    let name = TOKEN.resource_name(admin.organization(), &id);
    token::revoke(admin, &name).await?;
    Ok(Some(id))
}

/// Finds the token created by `connect` whose hint occurs in the entry. Returns `None` if more than one matches.
fn of_entry(tokens: &[Value], client: &Client, entry: &str) -> Option<String> {
    let ours = |token: &&Value| {
        let hint = token.pointer("/status/hint").and_then(Value::as_str);
        let hint = hint.map(|hint| hint.trim_end_matches('…'));
        let made = token.pointer("/spec/description").and_then(Value::as_str);
        token.pointer("/status/revoked") != Some(&Value::Bool(true))
            && made == Some(description(client).as_str())
            && hint.is_some_and(|hint| !hint.is_empty() && entry.contains(hint))
    };
    let mut found = tokens.iter().filter(ours);
    match (found.next(), found.next()) {
        (Some(token), None) => Some(cell::id(token, "/metadata/name")),
        (Some(_) | None, _) => None,
    }
}

fn description(client: &Client) -> String {
    format!("Made by `toolgate connect {}`", client.id)
}

#[cfg(test)]
mod tests;
