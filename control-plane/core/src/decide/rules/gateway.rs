//! Rules of gateways.

mod shape;

use toolgate_model::{
    BindingSelection, Gateway, GatewayClaim, ObjectName, Organization, RateLimitLevel, Server,
    ServerBinding, Slug, Timestamp, Uid,
};

use super::{KindRules, identity_provider};
use crate::{
    change::Change,
    decide::{
        change_builder::ChangeBuilder,
        dry_run,
        field::{check_limit, check_names, check_text, rate_limit, timeout},
    },
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    object::ControlObject,
    rejection::Rejection,
    state::StoreState,
};

impl KindRules for Gateway {
    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        let name = "characters of a gateway's instructions";
        check_text(
            "spec.instructions",
            &self.instructions,
            name,
            limits::INSTRUCTIONS,
        )?;
        let count = self.bindings.len();
        check_limit(
            "spec.bindings",
            "bindings of a gateway",
            limits::GATEWAY_BINDINGS,
            count,
        )?;
        for (index, bound) in self.bindings.iter().enumerate() {
            let field = format!("spec.bindings[{index}]");
            binding(&field, bound)?;
        }
        shape::check_aliases("spec.bindings", &self.bindings)?;
        check_limit(
            "spec.identity_providers",
            "identity providers of a gateway",
            limits::ADMITTED_PROVIDERS,
            self.identity_providers.len(),
        )?;
        rate_limit::check("spec", RateLimitLevel::Gateway, &self.rate_limits)
    }

    fn prepare_create(&self, uid: Uid, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        identity_provider::check_admission(self, None, draft)?;
        claim_gateway_id(draft, &self.name, uid)
    }

    /// Checks that the author may change the admission of callers to the gateway, if it changes.
    fn check_update(&self, current: &Self, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        identity_provider::check_admission(self, Some(current), draft)
    }

    /// Guards the bound servers and the admitted identity providers.
    fn guard_references(&self, _current: Option<&Self>, draft: &mut ChangeBuilder<'_>) {
        let org = &self.name.org;
        let servers = self.bindings.iter().map(|binding| &binding.server);
        let servers = servers.map(|id| ObjectName::new(org.clone(), id.clone()));
        draft.guard_references(servers.map(Server::key));
        for provider in identity_provider::admitted(self) {
            draft.guard(&provider);
        }
    }

    fn prepare_delete(draft: &mut ChangeBuilder<'_>, name: &ObjectName) {
        let claim = draft.state.gateway_ids.get(&name.id);
        if claim.is_none_or(|claim| claim.org == name.org) {
            draft.delete(ObjectKey::GatewayId(name.id.clone()));
        }
    }

    fn dry_run(&self, state: &StoreState, change: &Change) -> Result<(), Rejection> {
        let after = state.after_change(change);
        dry_run::new_gateway_problem(state, &after, &self.name, "")
    }
}

/// Claims the gateway id. Gateway ids are unique in the deployment because the path of an endpoint contains no
/// organization.
fn claim_gateway_id(
    draft: &mut ChangeBuilder<'_>,
    name: &ObjectName,
    uid: Uid,
) -> Result<(), Rejection> {
    let claim = ObjectKey::GatewayId(name.id.clone());
    let state = draft.state;
    let owner = state.gateway_ids.get(&name.id).map(|it| &it.org);
    let claimed = match owner {
        // What a deleted organization has left behind takes no ids.
        Some(owner) => *owner != name.org && state.has_organization(owner),
        None => state.mod_revision_at(&claim).is_some(),
    };
    let users: Vec<&Slug> = state.organizations_of_gateway_id(&name.id).collect();
    let others = owner.into_iter().chain(users.iter().copied());
    for other in others.filter(|org| **org != name.org) {
        draft.guard(&Organization::key(other.clone()));
    }
    let used = users.iter().any(|org| state.has_organization(org));
    if claimed || used {
        let reason = format!(
            "`{}` is taken; gateway ids are unique in the whole deployment, choose another one",
            name.id
        );
        return Err(Rejection::invalid("gateway_id", reason));
    }
    let (org, uid) = (name.org.clone(), Some(uid));
    draft.put(claim, ControlObject::GatewayId(GatewayClaim { org, uid }));
    Ok(())
}

fn binding(field: &str, binding: &ServerBinding) -> Result<(), Rejection> {
    let tools = format!("{field}.tools");
    selection(&tools, "tools named by a binding", &binding.tools)?;
    let prompts = format!("{field}.prompts");
    selection(&prompts, "prompts named by a binding", &binding.prompts)?;
    shape::check(field, &binding.shapes)?;
    rate_limit::check(field, RateLimitLevel::Binding, &binding.rate_limits)?;
    rate_limit::check_exposed(field, &binding.rate_limits, &binding.tools)?;
    match binding.timeout {
        Some(most) => timeout(format!("{field}.timeout"), most),
        None => Ok(()),
    }
}

fn selection(
    field: &str,
    name: &'static str,
    selection: &BindingSelection,
) -> Result<(), Rejection> {
    match selection {
        BindingSelection::All => Ok(()),
        BindingSelection::Only(names) => {
            check_limit(field, name, limits::BINDING_TOOLS, names.len())?;
            check_names(field, names)
        }
    }
}
