//! Checks that named objects exist, and suggests similar names.

use serde_json::Value;

pub use crate::cli::output::nearest_name::nearest;
use crate::cli::{
    client::{admin::AdminClient, kind::GATEWAY},
    output::{
        cell,
        error::{CliError, CliErrorKind},
    },
};

/// Returns the gateway, or an error if it does not exist. Returns `None` if the token may not read gateways.
pub async fn require_gateway(admin: &mut AdminClient, id: &str) -> Result<Option<Value>, CliError> {
    let name = GATEWAY.resource_name(admin.organization(), id);
    match admin.find(&GATEWAY, &name).await {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => {
            let all = admin.list(&GATEWAY).await.unwrap_or_default();
            let ids: Vec<_> = all.iter().map(|g| cell::id(g, "/metadata/name")).collect();
            let absent = CliError::new(
                CliErrorKind::NotFound,
                format!("there is no gateway `{id}`"),
            );
            Err(with_suggestion(absent, id, ids.iter().map(String::as_str))
                .with_next_step("`toolgate get gateways` lists what there is"))
        }
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Returns the names under which gateways offer tools.
pub fn tool_names(gateways: &[Value]) -> Vec<&str> {
    let lists = gateways
        .iter()
        .filter_map(|gateway| gateway.pointer("/status/tools")?.as_array());
    lists
        .flatten()
        .filter_map(|tool| tool["name"].as_str())
        .collect()
}

/// Lists the tools that bindings name, as SERVER/TOOL.
pub fn bound_tools(bindings: &[Value]) -> Vec<String> {
    let of_binding = |binding: &Value| {
        let server = binding["server"].as_str().unwrap_or_default().to_owned();
        let tools = binding["tools"].as_array().cloned().unwrap_or_default();
        let names = tools.into_iter().filter_map(move |tool| {
            let tool = tool.as_str()?;
            Some(format!("{server}/{tool}"))
        });
        names.collect::<Vec<_>>()
    };
    bindings.iter().flat_map(of_binding).collect()
}

/// Adds a suggestion of the closest name to an error.
pub fn with_suggestion<'a>(
    fault: CliError,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> CliError {
    match nearest(word, known) {
        Some(near) => fault.with_note(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// Returns `; did you mean …?`, or an empty string.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests;
