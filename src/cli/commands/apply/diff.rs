//! `diff`: shows what `apply` would change.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    concurrent::client_for,
    document::{comparable, holds_value, is_unchanged, secret_holders, update_request},
    read_all, with_document,
};
use crate::cli::{
    client::admin::AdminCommandOptions,
    output::{OutputWriter, cell, error::CliError, line_diff, to_yaml},
};

/// Shows what `apply` would change; ends with exit code 1 if anything would.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate diff -f gateways.yaml")]
pub struct DiffArgs {
    /// File, folder, or `-` for standard input.
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl DiffArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut counts = DiffCounts::default();
        let admin = self.admin.connect()?;
        for document in read_all(&self.files)? {
            let mut admin = client_for(&admin, &document);
            let kind = document.kind;
            let name = kind.resource_name(admin.organization(), &document.id);
            let existing = admin.find(kind, &name).await?;
            let would_be = match &existing {
                Some(existing) => {
                    // Compares with the current version, even if the document was made from an older one: the diff
                    // shows what applying would change now.
                    let mut update = update_request(existing, &document, &name);
                    let version = &existing["metadata"]["resourceVersion"];
                    let is_stale = update["metadata"]["resourceVersion"] != *version;
                    update["metadata"]["resourceVersion"] = version.clone();
                    let would_be = admin.update(kind, update, true).await;
                    let would_be =
                        would_be.map_err(|fault| with_document(fault, &document, &[], true))?;
                    if is_unchanged(kind, existing, &document.object, &would_be) {
                        continue;
                    }
                    if is_stale {
                        counts.stale += 1;
                        out.notice(format_args!(
                            "{name}: the document is of an older version; apply refuses it as it is"
                        ));
                    }
                    would_be
                }
                None => document.object.clone(),
            };
            counts.changed += 1;
            if existing.is_some() && holds_value(&document.object) {
                counts.secrets += 1;
            }
            let before = existing
                .map(|object| to_yaml(&comparable(kind, &object)))
                .transpose()?;
            let mut desired = comparable(kind, &would_be);
            mask_secrets(&mut desired, &document.object);
            out.line(format_args!("--- {name} (stored)"))?;
            out.line(format_args!("+++ {name} ({})", document.location))?;
            for line in line_diff::diff(&before.unwrap_or_default(), &to_yaml(&desired)?) {
                out.line(line)?;
            }
        }
        diff_result(counts)
    }
}

/// Replaces the secrets of the object that would be stored. A dry run returns the object without them: without these lines
/// the diff would show no change.
pub(super) fn mask_secrets(desired: &mut Value, document: &Value) {
    for holder in secret_holders(document) {
        let Some(Value::Object(holder)) = desired.pointer_mut(&holder) else {
            continue;
        };
        let text = match holder.contains_key("value") {
            true => "(secret)",
            false => "(secret: always written, it cannot be compared)",
        };
        holder.insert("value".to_owned(), json!(text));
    }
}

/// Numbers of documents of a diff.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct DiffCounts {
    /// Documents that differ from what is stored.
    pub(super) changed: usize,
    /// Documents among them that hold a secret.
    pub(super) secrets: usize,
    /// Documents among them that were made from an older version.
    pub(super) stale: usize,
}

/// Returns the result of a diff. Documents with secrets always differ, even after they were applied.
pub(super) fn diff_result(counts: DiffCounts) -> Result<(), CliError> {
    let DiffCounts {
        changed,
        secrets,
        stale,
    } = counts;
    if changed == 0 {
        return Ok(());
    }
    let mut fault = CliError::error(cell::counted(changed, "object differs", "objects differ"));
    if secrets > 0 {
        fault = fault.with_note(format!(
            "{} a secret: what is stored cannot be compared, and apply always writes it",
            cell::counted(secrets, "of them holds", "of them hold")
        ));
    }
    if stale > 0 {
        fault = fault.with_note(format!(
            "{} made from an older version",
            cell::counted(stale, "of them was", "of them were")
        ));
    }
    Err(fault.with_next_step(match (stale, secrets) {
        (0, 0) => "`toolgate apply -f` with the same files makes them equal",
        (0, _) => "`toolgate apply -f` with the same files writes them",
        (_, _) => {
            "in each of those put the resourceVersion of `toolgate get KIND NAME -o yaml`, or leave that line out; then \
             `toolgate apply -f`"
        }
    }))
}
