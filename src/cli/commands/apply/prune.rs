//! Pruning: deletes the objects that are in no document.

use std::collections::BTreeSet;

use super::AppliedObject;
use crate::cli::{
    client::{
        admin::AdminCommandOptions,
        kind::{self, ApiResourceKind},
        label_selector::LabelSelector,
        manifest::ManifestDocument,
    },
    output::{OutputFormat, OutputWriter, error::CliError},
};

/// Deletes the objects that are in no document, of the kinds and organizations that the documents have. An object
/// goes before the objects that it refers to. Organizations and the bootstrap token stay. What is deleted is added to `results`,
/// also if a later deletion fails.
pub async fn run(
    options: &AdminCommandOptions,
    documents: &[ManifestDocument],
    labels: &LabelSelector,
    (dry_run, results): (bool, &mut Vec<AppliedObject>),
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    let admin = options.connect()?;
    let organization = |document: &ManifestDocument| {
        let own = document.organization.clone();
        own.unwrap_or_else(|| admin.organization().to_owned())
    };
    let organizations: BTreeSet<_> = documents.iter().map(organization).collect();
    let kept: BTreeSet<_> = documents
        .iter()
        .map(|it| it.kind.resource_name(&organization(it), &it.id))
        .collect();
    let has_documents =
        |kind: &&ApiResourceKind| documents.iter().any(|it| it.kind.kind == kind.kind);
    for kind in kind::ALL.iter().rev() {
        if !kind.in_organization || !has_documents(&kind) {
            continue;
        }
        for organization in &organizations {
            let mut admin = admin.clone().with_organization(organization);
            for object in admin.list(kind).await? {
                let name = kind.name_of(&object);
                let is_bootstrap = object["status"]["system"] == true;
                if kept.contains(name) || is_bootstrap || !labels.selects(&object) {
                    continue;
                }
                admin.delete(kind, name, dry_run).await?;
                if matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
                    let suffix = if dry_run { " (dry run)" } else { "" };
                    out.line(format_args!("{name} pruned{suffix}"))?;
                }
                results.push(AppliedObject {
                    name: name.to_owned(),
                    verb: "pruned",
                    secret: None,
                    warnings: Vec::new(),
                });
            }
        }
    }
    Ok(())
}
