//! Rules of tokens.

use toolgate_model::{AllowList, RateLimitLevel, Timestamp, Token};

use super::KindRules;
use crate::{
    command::CommandAuthor,
    decide::{
        change_builder::ChangeBuilder,
        field::{check_limit, check_names, rate_limit},
    },
    limits,
    rejection::Rejection,
};

impl KindRules for Token {
    fn check_fields(&self, now: Timestamp) -> Result<(), Rejection> {
        if self.expires.is_some_and(|at| at <= now) {
            return Err(Rejection::invalid(
                "spec.expire_time",
                "lies in the past; choose a later time",
            ));
        }
        rate_limit::check("spec", RateLimitLevel::Token, &self.rate_limits)?;
        if let AllowList::Only(gateways) = &self.gateways {
            check_limit(
                "spec.gateways",
                "gateways that a token lists",
                limits::TOKEN_SCOPE_ENTRIES,
                gateways.len(),
            )?;
        }
        match &self.tools {
            AllowList::All => Ok(()),
            AllowList::Only(tools) => {
                check_limit(
                    "spec.tools",
                    "tools that a token lists",
                    limits::TOKEN_SCOPE_ENTRIES,
                    tools.len(),
                )?;
                check_names("spec.tools", tools)
            }
        }
    }

    fn prepare_create(&self, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        if draft.state.token_by_hash(&self.hash).is_some() {
            return Err(Rejection::invalid(
                "token",
                "this token exists already; make a new one",
            ));
        }
        self.check_change(draft)
    }

    /// Checks that only the system identity changes the bootstrap token. The token belongs to an organization, but the
    /// admins of the organization must not change it.
    fn check_change(&self, draft: &ChangeBuilder<'_>) -> Result<(), Rejection> {
        if !self.system || draft.context.author == CommandAuthor::SYSTEM {
            return Ok(());
        }
        let reason = "the deployment's own token can only be changed with itself";
        Err(Rejection::invalid("name", reason))
    }

    fn keep_immutable(&mut self, current: Option<&Self>) {
        match current {
            Some(current) => {
                self.hash = current.hash;
                self.hint.clone_from(&current.hint);
                self.revoked = current.revoked;
                self.system = current.system;
            }
            None => self.revoked = None,
        }
    }
}
