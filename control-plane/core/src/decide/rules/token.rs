//! Rules of tokens.

use std::collections::BTreeMap;

use toolgate_model::{AllowList, Gateway, ObjectName, RateLimitLevel, Slug, Timestamp, Token, Uid};

use super::KindRules;
use crate::{
    command::CommandAuthor,
    decide::{
        change_builder::ChangeBuilder,
        field::{check_limit, check_names, rate_limit},
    },
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    rejection::{FieldCause, Rejection},
    state::StoreState,
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

    fn prepare_create(&self, _uid: Uid, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        if draft.state.token_by_hash(&self.hash).is_some() {
            return Err(Rejection::invalid(
                "token",
                "this token exists already; make a new one",
            ));
        }
        self.check_change(draft)
    }

    /// Guards the gateways that the token lists and did not list before: the token holds their uids.
    fn guard_references(&self, current: Option<&Self>, draft: &mut ChangeBuilder<'_>) {
        let AllowList::Only(listed) = &self.gateways else {
            return;
        };
        let is_new = |id: &&Slug| current.is_none_or(|current| !current.lists_gateway(id));
        let names = listed.iter().filter(is_new);
        let names = names.map(|id| ObjectName::new(self.name.org.clone(), id.clone()));
        let keys: Vec<ObjectKey> = names.map(Gateway::key).collect();
        draft.guard_references(keys.into_iter());
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

    /// Rejects an expiry of the bootstrap token: when it is reached, the deployment would be accessible to no system token.
    fn check_update(
        &self,
        current: &Self,
        _draft: &mut ChangeBuilder<'_>,
    ) -> Result<(), Rejection> {
        if !self.system || self.expires.is_none() || self.expires == current.expires {
            return Ok(());
        }
        let reason = "the bootstrap token does not expire, because the deployment stays accessible with it; leave it out. To \
                      replace the token, remove the file `admin-token` of one control plane and start it once with \
                      `--reset-admin-token` (`toolgate up` needs no flag)";
        Err(Rejection::invalid("spec.expire_time", reason))
    }

    fn new_uid(&self, _draft: &ChangeBuilder<'_>) -> Uid {
        Uid::of_token(&self.name, &self.hash)
    }

    /// Adds the uids of the listed gateways. A gateway that was listed before keeps its uid: an update of the token does
    /// not admit it to a gateway made later under the same name.
    fn resolved(&self, current: Option<&Self>, state: &StoreState) -> Result<Self, Rejection> {
        let mut token = self.clone();
        token.gateway_uids = BTreeMap::new();
        let AllowList::Only(listed) = &self.gateways else {
            return Ok(token);
        };
        for (index, id) in listed.iter().enumerate() {
            let before = current.filter(|it| it.lists_gateway(id));
            let uid = match before {
                Some(before) => gateway_uid(before, id, state),
                None => {
                    let name = ObjectName::new(self.name.org.clone(), id.clone());
                    let gateway = state.gateways.get(&name).ok_or_else(|| {
                        let reason = format!("there is no gateway {name}; create it first");
                        let cause = FieldCause::missing("NO_GATEWAY", Gateway::key(name.clone()));
                        let field = format!("spec.gateways[{index}]");
                        Rejection::invalid_because(field, reason, cause)
                    })?;
                    Some(gateway.meta.uid)
                }
            };
            token.gateway_uids.extend(uid.map(|uid| (id.clone(), uid)));
        }
        Ok(token)
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

/// Returns the uid of a gateway that a stored token lists; `None` if the record of the token holds none and the gateway
/// of that name has a uid of its own, or does not exist.
fn gateway_uid(token: &Token, id: &Slug, state: &StoreState) -> Option<Uid> {
    let recorded = token.gateway_uids.get(id).copied();
    recorded.or_else(|| {
        let name = ObjectName::new(token.name.org.clone(), id.clone());
        let gateway = state.gateways.get(&name)?;
        gateway.has_derived_uid().then_some(gateway.meta.uid)
    })
}
