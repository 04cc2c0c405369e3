//! Rules of servers.

use toolgate_model::{CallTimeouts, Endpoint, ObjectName, RateLimitLevel, Server, Timestamp};

use super::KindRules;
use crate::{
    change::Change,
    decide::{
        change_builder::ChangeBuilder,
        dry_run,
        field::{check_limit, rate_limit, region, timeout},
    },
    key::ObjectKey,
    limits,
    rejection::Rejection,
    state::StoreState,
};

impl KindRules for Server {
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

    /// Returns the gateways that bind the server.
    fn dependents(state: &StoreState, name: &ObjectName) -> Vec<ObjectKey> {
        let gateways = state.gateways.iter();
        let of_org = gateways.filter(|(gateway, _)| gateway.org == name.org);
        let binds = of_org.filter(|(_, gateway)| {
            let mut bindings = gateway.bindings.iter();
            bindings.any(|binding| binding.server == name.id)
        });
        binds
            .map(|(gateway, _)| ObjectKey::Gateway(gateway.clone()))
            .collect()
    }

    fn prepare_delete(draft: &mut ChangeBuilder<'_>, name: &ObjectName) {
        draft.delete(ObjectKey::Definitions(name.clone()));
    }

    /// Rejects a new problem of the server, or of a gateway that binds it.
    fn dry_run(&self, state: &StoreState, change: &Change) -> Result<(), Rejection> {
        let after = state.after_change(change);
        dry_run::new_server_problem(state, &after, &self.name)?;
        for key in Self::dependents(&after, &self.name) {
            if let ObjectKey::Gateway(name) = key {
                dry_run::new_gateway_problem(state, &after, &name, &format!("gateway {name}: "))?;
            }
        }
        Ok(())
    }
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
