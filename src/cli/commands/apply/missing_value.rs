//! Credentials whose documents hold no value: an export never holds one, because the API does not return values.

use serde_json::Value;

use crate::cli::{
    client::{kind::CREDENTIAL, manifest::ManifestDocument},
    output::{
        credential_fields,
        error::{ApiErrorReason, CliError},
    },
};

/// Adds to the error of a credential without a value how it gets one.
pub(super) fn explain(fault: CliError, document: &ManifestDocument) -> CliError {
    if document.kind.name != CREDENTIAL.name || fault.reason != ApiErrorReason::NoValue {
        return fault;
    }
    let organization = document.organization.as_deref();
    let command = set_command(&document.id, organization, &document.object);
    fault
        .with_note("an exported document holds no value: values are never returned")
        .with_next_step(format!(
            "`{command}` reads the value from a prompt or from standard input, and makes the credential; or write it as `value` into \
             the document, beside the name of its header or parameter; then apply again, without the old `resourceVersion`"
        ))
}

/// Returns the command that makes the credential of a document.
fn set_command(id: &str, organization: Option<&str>, credential: &Value) -> String {
    let mut command = format!("toolgate credential set {id}");
    for (place, name) in credential_fields::stored_fields(credential) {
        command += &format!(" {}", credential_fields::flag(place, name));
    }
    let hosts = credential["spec"]["hosts"].as_array().into_iter().flatten();
    for host in hosts.filter_map(Value::as_str) {
        // A shell would expand a wildcard.
        let quote = if host.contains('*') { "'" } else { "" };
        command += &format!(" --host {quote}{host}{quote}");
    }
    if let Some(organization) = organization {
        command += &format!(" -O {organization}");
    }
    command
}

#[cfg(test)]
mod tests;
