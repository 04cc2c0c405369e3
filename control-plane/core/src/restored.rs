//! Access that a store restored from a copy may bring back, because its withdrawal is later than the copy: when the store was
//! restored, the tokens that lost their role then, and the tokens and proxies to look at.

use toolgate_model::{AdminRole, AllowList, Slug, Timestamp, Token};

use crate::{key::ObjectKey, limits, state::StoreState};

/// Maximum number of gateways of a token that are named.
const MAX_NAMED_GATEWAYS: usize = 5;

/// Label of a token that lost its role at the admin API when the store was restored. Its value is the role.
pub const ROLE_BEFORE_RESTORE: &str = "role-before-restore";

/// Returns the time at which the epoch of a restored store began; `None` if the store has not been restored.
pub fn restored_at(state: &StoreState) -> Option<Timestamp> {
    let start = state.epoch_start().filter(|start| start.epoch > 1)?;
    let at = start.last_change;
    // A new deployment may begin in a later epoch, but before its first organization.
    let mut organizations = state.organizations.iter();
    let is_restored = organizations.any(|(_, organization)| organization.meta.created < at);
    is_restored.then_some(at)
}

/// Returns the tokens that open gateways at `now`. A restored store has tokens again that were deleted after the copy.
pub fn gateway_tokens(state: &StoreState, now: Timestamp) -> impl Iterator<Item = &Token> {
    let tokens = state.tokens.iter().map(|(_, token)| &*token.object);
    tokens.filter(move |token| {
        let is_over = token.revoked.is_some() || token.expires.is_some_and(|at| at <= now);
        let lists_none =
            matches!(&token.gateways, AllowList::Only(gateways) if gateways.is_empty());
        !is_over && !lists_none && !token.system
    })
}

/// Returns the tokens of a restored store that open gateways at `now` and that have not been written since it was restored. Empty
/// when the store was restored long ago.
pub fn tokens_to_check(state: &StoreState, now: Timestamp) -> Vec<&Token> {
    let is_recent = |at: Timestamp| now.since(at) <= limits::RESTORE_REVIEW_PERIOD;
    let restored = restored_at(state).filter(|at| is_recent(*at));
    let began = state.mod_revision_at(&ObjectKey::EpochStart);
    let Some(began) = restored.and(began) else {
        return Vec::new();
    };
    let is_older = |token: &&Token| {
        let written = state.tokens.get(&token.name);
        written.is_some_and(|it| it.mod_revision < began)
    };
    gateway_tokens(state, now).filter(is_older).collect()
}

/// Returns the gateways of a token in words.
pub fn gateways_of(token: &Token) -> String {
    match &token.gateways {
        AllowList::All => "all gateways".to_owned(),
        AllowList::Only(gateways) => {
            let named = gateways.iter().take(MAX_NAMED_GATEWAYS);
            let mut named: Vec<_> = named.map(ToString::to_string).collect();
            let more = gateways.len().saturating_sub(MAX_NAMED_GATEWAYS);
            if more > 0 {
                named.push(format!("{more} more"));
            }
            let word = match gateways.len() {
                1 => "gateway",
                _ => "gateways",
            };
            format!("{word} {}", named.join(" "))
        }
    }
}

/// Returns `true` if the token has a role at the admin API at `now` and is not a system token.
pub fn has_role(token: &Token, now: Timestamp) -> bool {
    let is_over = token.revoked.is_some() || token.expires.is_some_and(|at| at <= now);
    token.role != AdminRole::None && !token.system && !is_over
}

/// Returns the token without its role, which a label keeps.
#[must_use]
pub fn without_role(token: &Token) -> Token {
    let mut token = token.clone();
    let role = role_name(token.role).to_owned();
    if token.meta.labels.len() < limits::LABELS {
        let labels = &mut token.meta.labels;
        labels.insert(ROLE_BEFORE_RESTORE.to_owned(), role);
    }
    token.role = AdminRole::None;
    token
}

/// Returns the role that a token lost when the store was restored and has not got back; `None` if it lost none, or does not
/// work any more.
pub fn lost_role(token: &Token) -> Option<&str> {
    let lost = token.meta.labels.get(ROLE_BEFORE_RESTORE)?;
    (token.role == AdminRole::None && token.revoked.is_none()).then_some(lost)
}

/// Returns the proxies that a restored store admits although they may have been expelled after the copy. Empty when every
/// certificate that was issued before has expired.
pub fn proxies_to_check(state: &StoreState, now: Timestamp) -> Vec<&Slug> {
    match restored_at(state) {
        Some(at) if now.since(at) <= limits::EXPULSION_PERIOD => {
            state.proxies.iter().map(|(id, _)| id).collect()
        }
        Some(_) | None => Vec::new(),
    }
}

/// Returns the name of a role at the command line.
pub fn role_name(role: AdminRole) -> &'static str {
    match role {
        AdminRole::None => "none",
        AdminRole::Viewer => "viewer",
        AdminRole::Editor => "editor",
        AdminRole::Admin => "admin",
    }
}
