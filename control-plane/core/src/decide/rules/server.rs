//! Rules of servers.

use std::collections::BTreeSet;

use toolgate_model::{
    CallTimeouts, Credential, Endpoint, Gateway, ObjectName, RateLimitLevel, Server,
    ServerDefinitions, Slug, Timestamp, Uid,
};

use super::KindRules;
use crate::{
    access_right::AccessRight,
    change::Change,
    compile,
    decide::{
        change_builder::ChangeBuilder,
        dry_run,
        field::{check_limit, rate_limit, region, timeout},
    },
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    rejection::{FieldCause, Rejection},
    state::StoreState,
};

/// Field that names the credential of a server.
const CREDENTIAL: &str = "spec.credential";

impl KindRules for Server {
    const IS_REFERENCED: bool = true;

    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        rate_limit::check("spec", RateLimitLevel::Server, &self.rate_limits)?;
        let endpoints = self.source.endpoints();
        if endpoints.as_single_url().is_some() {
            endpoint("spec", endpoints.first())?;
            return timeouts(&self.timeouts);
        }
        check_limit(
            "spec.endpoints",
            "endpoints of a server",
            limits::ENDPOINTS,
            endpoints.count(),
        )?;
        for (at, one) in endpoints.iter().enumerate() {
            let path = format!("spec.endpoints[{at}]");
            endpoint(&path, one)?;
            if endpoints.iter().take(at).any(|other| other.url == one.url) {
                let reason = "is listed twice; remove one of both";
                return Err(Rejection::invalid(format!("{path}.url"), reason));
            }
        }
        timeouts(&self.timeouts)
    }

    fn prepare_create(&self, _uid: Uid, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        match &self.credential {
            Some(id) => credential_use(self, id, "naming a credential", draft),
            None => Ok(()),
        }
    }

    /// Checks a change of the credential, and of where its value is sent.
    fn check_update(&self, current: &Self, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        let Some(id) = &self.credential else {
            // Only an author with the right could undo it.
            return match &current.credential {
                Some(_) => right_to_use(self, "removing a credential", draft),
                None => Ok(()),
            };
        };
        if current.credential.as_ref() != Some(id) {
            return credential_use(self, id, "naming a credential", draft);
        }
        if urls(current) != urls(self) {
            let action = "changing the endpoints of a server that has a credential";
            return credential_use(self, id, action, draft);
        }
        Ok(())
    }

    /// Guards the credential. If the server is served from now on, or not any more, the gateways that bind it are compiled
    /// with other tools, and no other control plane may write one of them meanwhile.
    fn guard_references(&self, current: Option<&Self>, draft: &mut ChangeBuilder<'_>) {
        let org = &self.name.org;
        let credential = self.credential.iter();
        let credential = credential.map(|id| ObjectName::new(org.clone(), id.clone()));
        draft.guard_references(credential.map(Credential::key));
        let state = draft.state;
        let is_served = |server: &Self| compile::server::compile(state, server).is_ok();
        let is_seen_differently = match current {
            Some(current) => is_served(self) != is_served(current),
            None => state.gateways_of_server(&self.name).next().is_some(),
        };
        if is_seen_differently {
            draft.guard_compile_inputs();
        }
    }

    /// Returns the gateways that bind the server.
    fn dependents(state: &StoreState, name: &ObjectName) -> Vec<ObjectKey> {
        let gateways = state.gateways_of_server(name);
        gateways
            .map(|id| Gateway::key(ObjectName::new(name.org.clone(), id.clone())))
            .collect()
    }

    fn prepare_delete(draft: &mut ChangeBuilder<'_>, name: &ObjectName) {
        draft.delete(ServerDefinitions::key(name.clone()));
    }

    /// Rejects a new problem of the server, or of a gateway that binds it.
    fn dry_run(&self, state: &StoreState, change: &Change) -> Result<(), Rejection> {
        let after = state.after_change(change);
        dry_run::new_server_problem(state, &after, &self.name)?;
        for id in after.gateways_of_server(&self.name) {
            let name = ObjectName::new(self.name.org.clone(), id.clone());
            dry_run::new_gateway_problem(state, &after, &name, &format!("gateway {name}: "))?;
        }
        Ok(())
    }
}

/// Checks that the author may use the credential, and that it is bound to origins. The dry run checks that they match
/// the endpoints.
fn credential_use(
    server: &Server,
    id: &Slug,
    action: &'static str,
    draft: &ChangeBuilder<'_>,
) -> Result<(), Rejection> {
    right_to_use(server, action, draft)?;
    let (field, org) = (CREDENTIAL, &server.name.org);
    let name = ObjectName::new(org.clone(), id.clone());
    let stored = draft.state.credentials.get(&name);
    if stored.is_none_or(|stored| stored.hosts.is_bound()) {
        return Ok(());
    }
    let reason = format!(
        "credential {name} is not bound to hosts, because an earlier version made it; list in its spec.hosts the origins \
         that its value may be sent to, e.g. `https://api.example.com`, then repeat the change"
    );
    let cause = FieldCause::new("CREDENTIAL_UNBOUND");
    Err(Rejection::invalid_because(field, reason, cause))
}

/// Checks that the author may use credentials of the organization.
fn right_to_use(
    server: &Server,
    action: &'static str,
    draft: &ChangeBuilder<'_>,
) -> Result<(), Rejection> {
    let (author, org) = (&draft.context.author, &server.name.org);
    if author.has_right(AccessRight::UseCredential, org) {
        return Ok(());
    }
    Err(Rejection::MissingRight {
        field: CREDENTIAL.to_owned(),
        action,
        right: "use credentials",
        holder: "an admin of the organization",
    })
}

/// Returns the URLs that the value of the credential is sent to.
fn urls(server: &Server) -> BTreeSet<&str> {
    let endpoints = server.source.endpoints().iter();
    endpoints.map(|endpoint| endpoint.url.as_str()).collect()
}

fn endpoint(path: &str, endpoint: &Endpoint) -> Result<(), Rejection> {
    let (url, field) = (&endpoint.url, format!("{path}.url"));
    check_limit(
        &field,
        "characters of a URL",
        limits::URL,
        url.as_str().len(),
    )?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Rejection::invalid(
            field,
            "use an absolute http or https URL",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason =
            "a URL must not carry a password; make a credential and name it in spec.credential";
        return Err(Rejection::invalid(field, reason));
    }
    if url.fragment().is_some() {
        return Err(Rejection::invalid(field, "remove the part from # on"));
    }
    match &endpoint.region {
        Some(name) => region(&format!("{path}.region"), name),
        None => Ok(()),
    }
}

fn timeouts(timeouts: &CallTimeouts) -> Result<(), Rejection> {
    let all = [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
        ("total", timeouts.total),
    ];
    for (name, value) in all {
        timeout(format!("spec.timeouts.{name}"), value)?;
    }
    Ok(())
}
