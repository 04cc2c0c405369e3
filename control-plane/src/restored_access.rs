//! Adoption of a store that was restored from a copy. What was withdrawn after the copy would work again: used join tokens,
//! revoked tokens with a role at the admin API, deleted tokens for gateways, and expelled proxies. The first two are withdrawn
//! again; the operator is told of the others.

use toolgate_control_core::{
    Command, Rejection, Revision, StateKind as _,
    port::SubmitError,
    restored::{gateway_tokens, gateways_of, has_role, role_name, without_role},
};
use toolgate_model::{AdminRole, ObjectName, Slug, Token};

use crate::{
    bootstrap::{BootstrapError, context},
    write_path::StoreWriter,
};

/// Maximum number of objects that the announcement names.
const MAX_NAMED: usize = 20;
/// Attempts at a token that others write at the same time.
const UPDATE_ATTEMPTS: u32 = 5;

/// Access that was withdrawn when a restored store was adopted, and what the operator has to look at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RestoredAccess {
    /// Number of join tokens that were deleted.
    pub join_tokens: usize,
    /// Tokens that lost their role, with the role.
    pub roles: Vec<(ObjectName, AdminRole)>,
    /// System tokens that were revoked, apart from the one in the token file.
    pub system_tokens: Vec<ObjectName>,
    /// Tokens that open gateways, with the gateways in words. Tokens that were deleted after the copy are among them.
    pub gateway_tokens: Vec<(ObjectName, String)>,
    /// Proxies that the store admits.
    pub proxies: Vec<Slug>,
}

impl RestoredAccess {
    /// Returns the text for the operator, in lines.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.join_tokens > 0 {
            lines.push(format!(
                "{} join tokens of the restored store are void; `toolgate proxies join-token` makes new ones",
                self.join_tokens
            ));
        }
        for name in self.system_tokens.iter().take(MAX_NAMED) {
            lines.push(format!(
                "the system token {name} is revoked; the one in `admin-token` works"
            ));
        }
        for (name, role) in self.roles.iter().take(MAX_NAMED) {
            let resource = format!("organizations/{}/tokens/{}", name.org, name.id);
            lines.push(format!(
                "token {name} lost its role {} at the admin API; `toolgate edit token {resource}` gives it back, and \
                 `toolgate token revoke {resource}` ends it",
                role_name(*role)
            ));
        }
        if let Some(more) = self.roles.len().checked_sub(MAX_NAMED).filter(|it| *it > 0) {
            lines.push(format!(
                "{more} more tokens lost their role; `toolgate doctor` lists them"
            ));
        }
        lines.extend(self.line_of_tokens());
        let proxies = self.proxies.iter().take(MAX_NAMED);
        let proxies: Vec<_> = proxies.map(ToString::to_string).collect();
        if !proxies.is_empty() {
            lines.push(format!(
                "the restored store admits the proxies {}; expel again the proxies that were expelled after the copy: \
                 `toolgate delete proxy NAME`",
                proxies.join(", ")
            ));
        }
        lines
    }

    /// Returns the text about the tokens that open gateways.
    fn line_of_tokens(&self) -> Option<String> {
        let named = self.gateway_tokens.iter().take(MAX_NAMED);
        let mut named: Vec<_> = named
            .map(|(name, gateways)| format!("{name} ({gateways})"))
            .collect();
        let more = self.gateway_tokens.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            named.push(format!("{more} more, see `toolgate get tokens`"));
        }
        (!named.is_empty()).then(|| {
            format!(
                "tokens that open gateways in the restored store, also those that were deleted after the copy: {}; revoke those \
                 that were withdrawn: `toolgate token revoke organizations/ORGANIZATION/tokens/NAME`",
                named.join(", ")
            )
        })
    }
}

/// Withdraws the access that the copy may have brought back. `kept` is the system token of the operator; without it, system
/// tokens are left alone, so that the operator is not locked out.
pub(crate) async fn withdraw(
    writer: &StoreWriter,
    kept: Option<&ObjectName>,
) -> Result<RestoredAccess, BootstrapError> {
    let state = writer.current();
    let now = writer.clock.now();
    let opening = gateway_tokens(&state, now);
    let mut access = RestoredAccess {
        gateway_tokens: opening
            .map(|token| (token.name.clone(), gateways_of(token)))
            .collect(),
        proxies: state.proxies.iter().map(|(id, _)| id.clone()).collect(),
        ..RestoredAccess::default()
    };
    let mut seen = state.revision();
    for (_, token) in state.join_tokens.iter().filter(|(_, it)| it.expires > now) {
        let used = writer
            .write(&Command::UseJoinToken(token.hash), &context(writer))
            .await;
        match used {
            Ok(outcome) => seen = seen.max(outcome.revision),
            Err(SubmitError::Rejected(Rejection::NotFound(_))) => continue,
            Err(error) => return Err(error.into()),
        }
        access.join_tokens += 1;
    }
    for (name, token) in state.tokens.iter() {
        let is_other = token.system && token.revoked.is_none() && kept.is_some_and(|it| it != name);
        if is_other {
            let revoke = Command::RevokeToken(name.clone());
            seen = writer.write(&revoke, &context(writer)).await?.revision;
            access.system_tokens.push(name.clone());
        } else if has_role(token, now) {
            let role = token.role;
            seen = withdraw_role(writer, name).await?.max(seen);
            access.roles.push((name.clone(), role));
        }
    }
    writer.state_at(seen).await;
    Ok(access)
}

/// Takes the role of a token away, or revokes the token if it cannot be written without the role.
async fn withdraw_role(
    writer: &StoreWriter,
    name: &ObjectName,
) -> Result<Revision, BootstrapError> {
    let mut seen = 0;
    for _attempt in 0..UPDATE_ATTEMPTS {
        let state = writer.state_at(seen).await;
        let (Some(token), Some(expected)) = (
            state.tokens.get(name),
            state.mod_revision_at(&Token::key(name.clone())),
        ) else {
            return Ok(state.revision());
        };
        let update = Command::Update {
            object: without_role(token).into(),
            expected,
        };
        match writer.write(&update, &context(writer)).await {
            Ok(outcome) => return Ok(outcome.revision),
            Err(SubmitError::Rejected(Rejection::Stale { .. })) => seen = state.revision() + 1,
            Err(SubmitError::Rejected(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let revoke = Command::RevokeToken(name.clone());
    Ok(writer.write(&revoke, &context(writer)).await?.revision)
}

#[cfg(test)]
mod tests;
