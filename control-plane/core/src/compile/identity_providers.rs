//! Compiles the identity providers that a gateway admits: the gateway resource contains all that a proxy needs to verify
//! their tokens.

use toolgate_model::{Gateway, ObjectName, RequiredClaim, TrustedIssuer};

use crate::state::StoreState;

use super::{ConfigProblem, ProblemKind};

/// Returns the providers that exist, and a problem for each of the others.
pub(super) fn compile(
    state: &StoreState,
    gateway: &Gateway,
) -> (Vec<TrustedIssuer>, Vec<ConfigProblem>) {
    let (mut trusted, mut problems) = (Vec::new(), Vec::new());
    for (index, admitted) in gateway.identity_providers.iter().enumerate() {
        let name = ObjectName::new(gateway.name.org.clone(), admitted.provider.clone());
        let Some(stored) = state.identity_providers.get(&name) else {
            let field = format!("spec.identity_providers[{index}].provider");
            let kind = ProblemKind::NoProvider(name);
            problems.push(ConfigProblem { field, kind });
            continue;
        };
        let provider = &*stored.object;
        let groups = (!admitted.groups.is_empty()).then(|| RequiredClaim {
            claim: provider.claims.groups.clone(),
            values: admitted.groups.clone(),
        });
        trusted.push(TrustedIssuer {
            provider: admitted.provider.clone(),
            uid: provider.meta.uid,
            issuer: provider.issuer.clone(),
            audiences: provider.audiences.clone(),
            algorithms: provider.algorithms.clone(),
            keys: provider.keys.clone(),
            subject: provider.claims.subject.clone(),
            required: groups.into_iter().chain(admitted.claims.clone()).collect(),
        });
    }
    (trusted, problems)
}
