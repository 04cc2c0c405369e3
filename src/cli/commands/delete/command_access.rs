//! Access of a command to the control plane while it deletes tokens: the bootstrap token stays, and the token that the command
//! itself uses is deleted last.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{DeleteArgs, ObjectToDelete};
use crate::cli::{
    client::{
        admin::AdminClient,
        kind::{ApiResourceKind, TOKEN},
        known_token,
    },
    output::{
        OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Next step for a bootstrap token that a command does not end.
const BOOTSTRAP_ADVICE: &str = "`toolgate get tokens` lists the others; a control plane that starts with `--reset-admin-token` and \
     without its file `admin-token` makes another bootstrap token and revokes this one";

impl DeleteArgs {
    /// Returns the objects in an order in which the command can delete them all. A bootstrap token that is named is an error;
    /// one among all objects, or in documents, stays.
    pub(super) async fn keep_access(
        &self,
        admin: &mut AdminClient,
        objects: Vec<ObjectToDelete>,
        out: &mut OutputWriter,
    ) -> Result<Vec<ObjectToDelete>, CliError> {
        let mut tokens = BTreeMap::new();
        for object in objects.iter().filter(|it| is_token(it.kind)) {
            let token = readable_token(admin, &object.name).await?;
            tokens.extend(token.map(|token| (object.name.clone(), token)));
        }
        let secret = self.admin.token()?.unwrap_or_default();
        let (bootstrap, ordered) = split(objects, &tokens, &secret);
        let is_named = self.files.is_empty() && self.selectors.is_empty() && !self.all;
        for name in bootstrap {
            if is_named {
                return Err(bootstrap_error(&name));
            }
            out.notice(format_args!("{name} stays: it is the bootstrap token"));
        }
        Ok(ordered)
    }
}

/// Checks that a token is not the bootstrap token, as far as the admin token may read tokens.
pub async fn require_revocable(admin: &mut AdminClient, name: &str) -> Result<(), CliError> {
    let token = readable_token(admin, name).await?;
    match token.is_some_and(|token| is_bootstrap(&token)) {
        true => Err(bootstrap_error(name)),
        false => Ok(()),
    }
}

/// Returns a token, or `None` if it does not exist or the admin token may not read it.
async fn readable_token(admin: &mut AdminClient, name: &str) -> Result<Option<Value>, CliError> {
    match admin.find(&TOKEN, name).await {
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(None),
        found => found,
    }
}

/// Returns the names of the bootstrap tokens, and the other objects with the token of `secret` at the end.
fn split(
    objects: Vec<ObjectToDelete>,
    tokens: &BTreeMap<String, Value>,
    secret: &str,
) -> (Vec<String>, Vec<ObjectToDelete>) {
    let (mut bootstrap, mut others, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        let token = tokens.get(&object.name).filter(|_| is_token(object.kind));
        match token {
            Some(token) if is_bootstrap(token) => bootstrap.push(object.name),
            Some(token) if known_token::begins(token, secret) => own.push(object),
            Some(_) | None => others.push(object),
        }
    }
    others.append(&mut own);
    (bootstrap, others)
}

/// Returns `true` for a bootstrap token that works. A revoked one keeps nothing accessible.
fn is_bootstrap(token: &Value) -> bool {
    token["status"]["system"] == true && token["status"]["revoked"] != true
}

fn is_token(kind: &ApiResourceKind) -> bool {
    kind.name == TOKEN.name
}

fn bootstrap_error(name: &str) -> CliError {
    CliError::new(
        CliErrorKind::Conflict,
        format!("{name} is the bootstrap token, with which the deployment stays accessible"),
    )
    .with_next_step(BOOTSTRAP_ADVICE)
}

#[cfg(test)]
mod tests;
