//! Next steps for refusals of the control plane that say what is wrong, with the command to type. They hold for every command; a
//! command that knows more names a better one.

use toolgate_model::OriginPattern;
use url::Url;

use crate::cli::client::kind::{ApiResourceKind, GATEWAY, SERVER};

/// Beginning of the refusal of a second binding.
const SINGLE_PREFIX: &str = "prefix `single` allows one binding";
/// Part of the refusal of an endpoint that a credential is not bound to.
const CREDENTIAL_ELSEWHERE: (&str, &str) = ("may be sent to ", "the server has the endpoint `");
/// Next step for a binding that a gateway with the prefix `single` does not take.
const SINGLE_ADVICE: &str = "`toolgate gateway create` takes `--prefix always` (names such as SERVER__tool) or `--prefix never`; \
     `toolgate edit gateway NAME` changes the `prefix` of a gateway to PREFIX_MODE_ALWAYS or PREFIX_MODE_NEVER";

/// Returns the next step for a refusal with this message.
pub(super) fn of_message(message: &str) -> Option<String> {
    match message.contains(SINGLE_PREFIX) {
        true => Some(SINGLE_ADVICE.to_owned()),
        false => credential_elsewhere(message),
    }
}

/// Returns the next step for a server with an endpoint outside of the origins of its credential.
fn credential_elsewhere(message: &str) -> Option<String> {
    let (bound, endpoint) = CREDENTIAL_ELSEWHERE;
    let (before, after) = message.split_once(bound)?;
    let credential = before.trim_end().rsplit(' ').next()?.rsplit('/').next()?;
    let (_, url) = after.split_once(endpoint)?;
    let url: Url = url.split('`').next()?.parse().ok()?;
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
