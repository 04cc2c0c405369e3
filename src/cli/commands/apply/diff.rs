//! `diff`: shows what `apply` would change.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    AppliedObject,
    concurrent::client_for,
    document::{
        comparable, create_new, holds_value, is_stored, is_unchanged, revocation_warning,
        secret_holders, update_request,
    },
    not_fully_checked, read_all, refers_to_created, with_document,
};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        manifest::ManifestDocument,
    },
    output::{
        OutputWriter, cell,
        error::{CliError, CliErrorKind},
        line_diff, to_yaml,
    },
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
        let admin = self.admin.connect()?;
        let mut diff = ManifestDiff::default();
        for document in read_all(&self.files)? {
            diff.add(&admin, &document, out).await?;
        }
        diff_result(diff.counts)
    }
}

/// Comparison of documents with what is stored.
#[derive(Default)]
struct ManifestDiff {
    counts: DiffCounts,
    /// Objects that applying would create. Later documents may refer to them.
    created: Vec<AppliedObject>,
}

impl ManifestDiff {
    /// Compares a document with its object, and writes the difference.
    async fn add(
        &mut self,
        admin: &AdminClient,
        document: &ManifestDocument,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let mut admin = client_for(admin, document);
        let kind = document.kind;
        let name = kind.resource_name(admin.organization(), &document.id);
        let existing = admin.find(kind, &name).await?;
        let would_be = match &existing {
            Some(existing) => {
                let warning = revocation_warning(existing, document);
                if let Some(warning) = warning {
                    out.notice(format_args!("{name}: warning: {warning}"));
                }
                self.after_update(&mut admin, existing, document, out).await
            }
            None => self.after_creation(&mut admin, document).await.map(Some),
        };
        let would_be = match would_be {
            Ok(Some(would_be)) => would_be,
            Ok(None) => return Ok(()),
            Err(fault) if is_refusal(&fault) => {
                self.counts.refused += 1;
                tell_refusal(&name, &with_document(fault, document, &[], true), out);
                return Ok(());
            }
            Err(fault) => return Err(with_document(fault, document, &[], true)),
        };
        self.counts.changed += 1;
        if existing.is_some() && holds_value(&document.object) {
            self.counts.secrets += 1;
        }
        let before = existing.map(|object| to_yaml(&comparable(kind, &object)));
        let before = before.transpose()?.unwrap_or_default();
        let mut desired = comparable(kind, &would_be);
        mask_secrets(&mut desired, &document.object);
        out.line(format_args!("--- {name} (stored)"))?;
        out.line(format_args!("+++ {name} ({})", document.location))?;
        let lines = line_diff::diff(&before, &to_yaml(&desired)?);
        lines.iter().try_for_each(|line| out.line(line))
    }

    /// Returns the object as applying a document would change it, or `None` if it would not. The document is compared with the
    /// current version, even if it was made from an older one: the diff shows what applying would change now.
    async fn after_update(
        &mut self,
        admin: &mut AdminClient,
        existing: &Value,
        document: &ManifestDocument,
        out: &mut OutputWriter,
    ) -> Result<Option<Value>, CliError> {
        let (kind, name) = (document.kind, document.kind.name_of(existing));
        if is_stored(kind, existing, &document.object) {
            return Ok(None);
        }
        let mut update = update_request(existing, document, name);
        let version = &existing["metadata"]["resourceVersion"];
        let is_stale = update["metadata"]["resourceVersion"] != *version;
        update["metadata"]["resourceVersion"] = version.clone();
        let would_be = admin.update(kind, update, true).await?;
        if is_unchanged(kind, existing, &document.object, &would_be) {
            return Ok(None);
        }
        if is_stale {
            self.counts.stale += 1;
            out.notice(format_args!(
                "{name}: the document is of an older version; apply refuses it as it is"
            ));
        }
        Ok(Some(would_be))
    }

    /// Returns the object that applying a document would create. The document is checked as far as it does not refer to what
    /// other documents create.
    async fn after_creation(
        &mut self,
        admin: &mut AdminClient,
        document: &ManifestDocument,
    ) -> Result<Value, CliError> {
        let created = match create_new(admin, document, true).await {
            Err(fault) if refers_to_created(&fault, &self.created) => {
                not_fully_checked(admin, document)
            }
            created => created?,
        };
        self.created.push(created);
        Ok(document.object.clone())
    }
}

/// Returns `true` for the error of a document that applying would not write, rather than of a request that failed.
fn is_refusal(fault: &CliError) -> bool {
    matches!(fault.kind, CliErrorKind::Error | CliErrorKind::Conflict)
}

fn tell_refusal(name: &str, fault: &CliError, out: &mut OutputWriter) {
    out.notice(format_args!("{name}: apply refuses it: {}", fault.message));
    let steps = fault.next_step.iter().map(|step| format!("next: {step}"));
    for line in fault.notes.iter().cloned().chain(steps) {
        out.notice(format_args!("  {line}"));
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
    /// Further documents, which applying would refuse for another reason.
    pub(super) refused: usize,
}

/// Returns the result of a diff. Documents with secrets always differ, even after they were applied.
pub(super) fn diff_result(counts: DiffCounts) -> Result<(), CliError> {
    let DiffCounts {
        changed,
        secrets,
        stale,
        refused,
    } = counts;
    let refusals = format!(
        "{} by apply as it is",
        cell::counted(refused, "document is refused", "documents are refused")
    );
    let mut fault = match (changed, refused) {
        (0, 0) => return Ok(()),
        (0, _) => CliError::error(refusals),
        (_, 0) => CliError::error(cell::counted(changed, "object differs", "objects differ")),
        (_, _) => CliError::error(cell::counted(changed, "object differs", "objects differ"))
            .with_note(refusals),
    };
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
    Err(fault.with_next_step(match (refused, stale, secrets) {
        (0, 0, 0) => "`toolgate apply -f` with the same files makes them equal",
        (0, 0, _) => "`toolgate apply -f` with the same files writes them",
        (0, _, _) => {
            "in each of those put the resourceVersion of `toolgate get KIND NAME -o yaml`, or leave that line out; then \
             `toolgate apply -f`"
        }
        (_, _, _) => {
            "correct or leave out what is refused, for the reason that is told with it; then `toolgate diff -f` again"
        }
    }))
}
