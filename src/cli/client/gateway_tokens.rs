//! Tokens of a gateway. A token is for the gateways that exist when it is given them: it ends with its gateway, and does not
//! open another gateway that is made later under the same id.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli::{
    client::{admin::AdminClient, kind::TOKEN, token_scope},
    output::{OutputWriter, cell},
};

/// Number of pages of tokens that are read at the creation of a gateway.
const PAGES_AT_CREATION: usize = 1;
/// Maximum number of tokens that are named in one line.
const MAX_NAMED: usize = 5;

/// Returns the tokens that work and list gateways, without temporary tokens of commands. None are found if the admin token may
/// not read tokens.
pub async fn working_tokens(admin: &mut AdminClient) -> Vec<Value> {
    working_tokens_among(admin, usize::MAX).await
}

async fn working_tokens_among(admin: &mut AdminClient, pages: usize) -> Vec<Value> {
    let mut tokens = admin.list_pages(&TOKEN, pages).await.unwrap_or_default();
    let now = crate::cli::now();
    tokens.retain(|token| {
        !token_scope::has_ended(token, now)
            && !token_scope::listed_gateways(token).is_empty()
            && !token_scope::is_temporary(token)
    });
    tokens
}

/// Returns the ids of the tokens that a gateway admits and that list it.
fn admitted<'a>(tokens: impl IntoIterator<Item = &'a Value>, gateway: &str) -> Vec<&'a str> {
    let admits = |token: &&Value| {
        token_scope::listed_gateways(token).contains(&gateway)
            && !token_scope::lost_gateways(token).contains(&gateway)
    };
    tokens.into_iter().filter(admits).map(id).collect()
}

/// Returns the ids of the tokens that list a gateway of this id and were given another one, which was deleted.
fn lost<'a>(tokens: &'a [Value], gateway: &str) -> Vec<&'a str> {
    let is_lost = |token: &&Value| token_scope::lost_gateways(token).contains(&gateway);
    tokens.iter().filter(is_lost).map(id).collect()
}

/// Tells which tokens end with the gateways that are deleted, or would be.
pub fn tell_ending(
    tokens: &[&Value],
    deleted: &BTreeSet<String>,
    dry_run: bool,
    out: &mut OutputWriter,
) {
    for gateway in deleted {
        let admitted = admitted(tokens.iter().copied(), gateway);
        if admitted.is_empty() {
            continue;
        }
        let (open, opens) = match dry_run {
            true => ("would no longer open", "would no longer open"),
            false => ("no longer open", "no longer opens"),
        };
        out.notice(format_args!(
            "  {} the gateway {gateway}, nor a gateway that is made later under this name; next: `toolgate token update TOKEN \
             --add-gateway GATEWAY` gives a token another gateway, `toolgate token revoke TOKEN` ends it",
            subject(&admitted, open, opens),
        ));
    }
}

/// Tells which tokens list a new gateway by its name and do not open it. Only the first pages of tokens are read, so that the
/// creation of a gateway costs the same however many tokens there are; `doctor` reads all.
pub async fn tell_lost<'a>(
    admin: &mut AdminClient,
    created: impl Iterator<Item = &'a str>,
    out: &mut OutputWriter,
) {
    let tokens = working_tokens_among(admin, PAGES_AT_CREATION).await;
    for gateway in created {
        let lost = lost(&tokens, gateway);
        let Some(first) = lost.first() else {
            continue;
        };
        out.notice(format_args!(
            "  {} the gateway {gateway} by name, but not this one: it was another gateway that was deleted; next: `toolgate \
             token update {first} --add-gateway {gateway}` lets a token open this one",
            subject(&lost, "list", "lists"),
        ));
    }
}

/// Returns the tokens with the verb that fits their number.
fn subject(tokens: &[&str], verb: &str, verb_of_one: &str) -> String {
    let mut named: Vec<_> = tokens.iter().take(MAX_NAMED).copied().collect();
    let more = format!("{} more", tokens.len().saturating_sub(MAX_NAMED));
    if tokens.len() > MAX_NAMED {
        named.push(&more);
    }
    let count = cell::counted(tokens.len(), "token", "tokens");
    let verb = if tokens.len() == 1 { verb_of_one } else { verb };
    format!("{count} ({}) {verb}", named.join(", "))
}

fn id(token: &Value) -> &str {
    let name = TOKEN.name_of(token);
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests;
