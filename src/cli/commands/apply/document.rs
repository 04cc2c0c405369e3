//! Application of one document: creates its object, or changes it.

use serde_json::{Value, json};

use super::{AppliedObject, warnings::warnings_of};
use crate::cli::{
    client::{
        admin::{
            AdminClient,
            write_retry::{WriteRetry, explain_overtaken},
        },
        kind::{ApiResourceKind, TOKEN},
        manifest::ManifestDocument,
    },
    commands::objects::to_document,
    output::error::{ApiErrorReason, CliError, CliErrorKind},
};

/// Applies one document and returns what was done, or would be done by a dry run.
pub async fn apply_document(
    admin: &mut AdminClient,
    document: &ManifestDocument,
    dry_run: bool,
) -> Result<&'static str, CliError> {
    apply_one(admin, document, dry_run)
        .await
        .map(|applied| applied.verb)
}

/// Applies one document. A document without a resource version holds for any version: if another change comes in between,
/// the object is read again.
pub(super) async fn apply_one(
    admin: &mut AdminClient,
    document: &ManifestDocument,
    dry_run: bool,
) -> Result<AppliedObject, CliError> {
    let mut retry = WriteRetry::new();
    loop {
        match apply_once(admin, document, dry_run).await {
            Err(fault) if has_version(document) => return Err(explain_conflict(fault, document)),
            Err(fault) => {
                if !retry.is_due(&fault).await {
                    return Err(explain_overtaken(fault));
                }
            }
            applied => return applied,
        }
    }
}

async fn apply_once(
    admin: &mut AdminClient,
    document: &ManifestDocument,
    dry_run: bool,
) -> Result<AppliedObject, CliError> {
    let kind = document.kind;
    let name = kind.resource_name(admin.organization(), &document.id);
    let Some(existing) = admin.find(kind, &name).await? else {
        return create_new(admin, document, dry_run).await;
    };
    if is_stored(kind, &existing, &document.object) {
        return Ok(AppliedObject {
            name,
            verb: "unchanged",
            secret: None,
            warnings: with_revocation(warnings_of(&existing), &existing, document),
        });
    }
    let mut desired = update_request(&existing, document, &name);
    let version = &existing["metadata"]["resourceVersion"];
    if desired["metadata"]["resourceVersion"] != *version && !holds_value(&document.object) {
        // An older document that would change nothing is no conflict.
        let mut current = desired.clone();
        current["metadata"]["resourceVersion"] = version.clone();
        let would_be = admin.update(kind, current.clone(), true).await?;
        if is_unchanged(kind, &existing, &document.object, &would_be) {
            desired = current;
        }
    }
    let would_be = admin.update(kind, desired.clone(), true).await?;
    if is_unchanged(kind, &existing, &document.object, &would_be) {
        return Ok(AppliedObject {
            name,
            verb: "unchanged",
            secret: None,
            warnings: with_revocation(warnings_of(&would_be), &existing, document),
        });
    }
    let written = match dry_run {
        true => would_be,
        false => admin.update(kind, desired, false).await?,
    };
    Ok(AppliedObject {
        name,
        verb: "configured",
        secret: None,
        warnings: with_revocation(warnings_of(&written), &existing, document),
    })
}

/// Creates the object of a document.
pub(super) async fn create_new(
    admin: &mut AdminClient,
    document: &ManifestDocument,
    dry_run: bool,
) -> Result<AppliedObject, CliError> {
    let kind = document.kind;
    if kind.name == TOKEN.name && document.status["revoked"] == true {
        return Err(revoked(document));
    }
    let object = document.object.clone();
    let answer = admin.create(kind, &document.id, object, dry_run).await?;
    Ok(AppliedObject {
        name: kind.resource_name(admin.organization(), &document.id),
        verb: "created",
        secret: answer["secret"].as_str().map(str::to_owned),
        warnings: warnings_of(&answer),
    })
}

/// Returns a warning for a token that was revoked, and stays so, although its document was not made from a revoked one.
pub(super) fn revocation_warning(existing: &Value, document: &ManifestDocument) -> Option<String> {
    let is_revoked = existing["status"]["revoked"] == true && document.status["revoked"] != true;
    is_revoked.then(|| {
        format!(
            "the token {0} was revoked and stays so: `toolgate delete token {0}`, then `toolgate apply -f` makes a new one of this \
             name, with another secret",
            document.id
        )
    })
}

fn with_revocation(
    mut warnings: Vec<String>,
    existing: &Value,
    document: &ManifestDocument,
) -> Vec<String> {
    warnings.extend(revocation_warning(existing, document));
    warnings
}

/// Error of a document that was made from a revoked token: applied, it would bring the name back with a new secret.
fn revoked(document: &ManifestDocument) -> CliError {
    CliError::new(
        CliErrorKind::Conflict,
        format!("the document belongs to a token that was revoked; {} does not exist any more", document.id),
    )
    .with_next_step(
        "leave the document out; to make a new token of this name, remove `status` from the document",
    )
}

/// Builds the update of an existing object from its document. Without a resource version in the document, the
/// version that was read is used.
pub(super) fn update_request(existing: &Value, document: &ManifestDocument, name: &str) -> Value {
    let mut object = document.object.clone();
    object["metadata"]["name"] = json!(name);
    if !has_version(document) {
        object["metadata"]["resourceVersion"] = existing["metadata"]["resourceVersion"].clone();
    }
    object
}

/// Returns `true` if a document names the version of the object that it was made from.
fn has_version(document: &ManifestDocument) -> bool {
    let version = document.object["metadata"]["resourceVersion"].as_str();
    version.is_some_and(|version| !version.is_empty())
}

fn explain_conflict(fault: CliError, document: &ManifestDocument) -> CliError {
    match fault.reason == ApiErrorReason::Stale {
        true => fault.with_next_step(format!(
            "the object changed since the document was made from it: `toolgate diff -f` shows what applying would \
             undo; then put the resourceVersion of `toolgate get {} {} -o yaml` into the document, or leave that line out",
            document.kind.field(),
            document.id
        )),
        false => fault,
    }
}

/// Returns `true` if the update would change nothing. A credential whose document holds a value always counts as
/// changed: the API never returns the stored value, so that the two cannot be compared.
pub(super) fn is_unchanged(
    kind: &ApiResourceKind,
    existing: &Value,
    document: &Value,
    would_be: &Value,
) -> bool {
    !holds_value(document) && comparable(kind, existing) == comparable(kind, would_be)
}

/// Returns `true` if a document says what is stored, word for word, so that it need not be checked: a token that has expired
/// meanwhile would be refused.
pub(super) fn is_stored(kind: &ApiResourceKind, existing: &Value, document: &Value) -> bool {
    !holds_value(document) && comparable(kind, existing) == comparable(kind, document)
}

pub(super) fn holds_value(document: &Value) -> bool {
    !secret_holders(document).is_empty()
}

/// Returns pointers to the members of a document with a `value` that the API never returns.
pub(super) fn secret_holders(document: &Value) -> Vec<String> {
    let mut holders = vec!["/spec/staticHeader".to_owned()];
    for list in ["/spec/requestFields/headers", "/spec/requestFields/query"] {
        let found = document.pointer(list).and_then(Value::as_array);
        let count = found.map_or(0, Vec::len);
        holders.extend((0..count).map(|at| format!("{list}/{at}")));
    }
    let holds = |holder: &String| {
        let holder = document.pointer(holder);
        holder.is_some_and(|holder| holder.get("value").is_some())
    };
    holders.retain(holds);
    holders
}

/// Returns the parts of an object that a document can set.
pub(super) fn comparable(kind: &ApiResourceKind, object: &Value) -> Value {
    let mut comparable = to_document(kind, object);
    comparable["metadata"] = json!({
        "displayName": object["metadata"]["displayName"].as_str().unwrap_or_default(),
        "labels": object["metadata"].get("labels").cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(members) = comparable.as_object_mut() {
        members.remove("status");
    }
    comparable
}
