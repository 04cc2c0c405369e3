//! Rules of identity providers, and of gateways that admit their callers.

use toolgate_model::{Gateway, IdentityProvider, ObjectKind, ObjectName, Timestamp};

use super::KindRules;
use crate::{
    access_right::AccessRight,
    decide::{change_builder::ChangeBuilder, field::check_limit},
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    rejection::Rejection,
    state::StoreState,
};

/// Field with the providers of a gateway.
const ADMITTED: &str = "spec.identity_providers";

impl KindRules for IdentityProvider {
    const IS_REFERENCED: bool = true;

    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        let name = "keys of an identity provider";
        check_limit("spec.keys", name, limits::PROVIDER_KEYS, self.keys.len())?;
        Ok(())
    }

    /// Keeps the keys that were fetched from the same source.
    fn keep_immutable(&mut self, current: Option<&Self>) {
        let source = |it: &Self| (it.issuer.clone(), it.jwks_url.clone(), it.keys.is_empty());
        let same = current.filter(|current| source(current) == source(self));
        self.fetched = same.map(|it| it.fetched.clone()).unwrap_or_default();
    }

    /// Returns the gateways that admit callers of the provider.
    fn dependents(state: &StoreState, name: &ObjectName) -> Vec<ObjectKey> {
        let gateways = state.gateways_of_provider(name);
        let names = gateways.map(|id| ObjectName::new(name.org.clone(), id.clone()));
        names.map(Gateway::key).collect()
    }
}

/// Checks the right of the author of a command to admit callers to the gateway, if the command changes the providers or their
/// requirements. Tokens, which admit to gateways too, are written with the same role.
pub(super) fn check_admission(
    gateway: &Gateway,
    current: Option<&Gateway>,
    draft: &ChangeBuilder<'_>,
) -> Result<(), Rejection> {
    let before = current.map_or(&[][..], |current| &current.identity_providers);
    let author = &draft.context.author;
    let right = AccessRight::Write(ObjectKind::IdentityProvider);
    if gateway.identity_providers == before || author.has_right(right, &gateway.name.org) {
        return Ok(());
    }
    Err(Rejection::MissingRight {
        field: ADMITTED.to_owned(),
        action: "change who may use a gateway",
        right: "write identity providers",
        holder: "an admin of the organization",
    })
}

/// Returns the keys of the providers that the gateway admits.
pub(super) fn admitted(gateway: &Gateway) -> impl Iterator<Item = ObjectKey> {
    let listed = gateway.identity_providers.iter();
    listed.map(|it| {
        let name = ObjectName::new(gateway.name.org.clone(), it.provider.clone());
        IdentityProvider::key(name)
    })
}
