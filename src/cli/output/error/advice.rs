//! Next steps for refusals of the control plane that say what is wrong, with the command to type. They hold for every command; a
//! command that knows more names a better one.

use tonic_types::ErrorDetails;
use toolgate_model::OriginPattern;
use url::Url;

use super::ApiErrorReason;
use crate::cli::client::kind::{ApiResourceKind, GATEWAY, SERVER};

/// Next step for a binding that a gateway with the prefix `single` does not take.
const SINGLE_ADVICE: &str = "`toolgate gateway create` takes `--prefix always` (names such as SERVER__tool) or `--prefix never`; \
     `toolgate edit gateway NAME` changes the `prefix` of a gateway to PREFIX_MODE_ALWAYS or PREFIX_MODE_NEVER";

/// Returns the next step for a refusal with this reason.
pub(super) fn of_refusal(reason: ApiErrorReason, details: &ErrorDetails) -> Option<String> {
    if reason == ApiErrorReason::NotSingle {
        return Some(SINGLE_ADVICE.to_owned());
    }
    if reason == ApiErrorReason::CredentialElsewhere {
        return credential_elsewhere(details);
    }
    None
}

/// Returns the next step for a server with an endpoint outside of the origins of its credential.
fn credential_elsewhere(details: &ErrorDetails) -> Option<String> {
    let facts = &details.error_info()?.metadata;
    let credential = facts.get("credential")?;
    let url: Url = facts.get("url")?.parse().ok()?;
    let origin = OriginPattern::of_url(&url)?;
    Some(format!(
        "`toolgate edit credential {credential}` adds `{origin}` to its `hosts`, if the value is meant for that origin; or \
         `toolgate server update SERVER --credential ''` with the same --url presents nothing there; then repeat the command"
    ))
}

/// Returns the next step for an object that others use. `dependents` are their full resource names, and `organization` is the
/// object itself, if it is one.
pub(super) fn of_dependents(dependents: &[String], organization: Option<&str>) -> Option<String> {
    let first = dependents.first()?;
    let mut segments = first.rsplit('/');
    let (id, plural) = (segments.next()?, segments.next()?);
    let kind = ApiResourceKind::parse(plural).ok()?;
    let field = kind.field();
    let flag = organization.map_or_else(String::new, |id| format!(" -O {id}"));
    let delete = format!("`toolgate delete {field} {id}{flag}` deletes the {field}");
    let steps = match kind.name {
        name if name == GATEWAY.name && organization.is_none() => format!(
            "`toolgate edit gateway {id}{flag}` takes the server out of the bindings of the gateway; or {delete}"
        ),
        name if name == SERVER.name && organization.is_none() => format!(
            "`toolgate server update {id} --credential ''` lets the server present nothing; or {delete}"
        ),
        _ => delete,
    };
    Some(match dependents.len() {
        1 => steps,
        _ => format!("{steps}; the same for the others"),
    })
}

#[cfg(test)]
mod tests;
