//! `apply` and `diff`: bring the objects of the control plane in line with documents.

mod concurrent;
mod diff;
mod document;
mod missing_value;
mod prune;
mod warnings;

use std::{collections::BTreeMap, path::PathBuf, pin::pin};

use futures_util::StreamExt as _;
use serde_json::json;

use self::concurrent::StopFlag;
pub use self::{diff::DiffArgs, document::apply_document};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        gateway_tokens,
        kind::GATEWAY,
        label_selector::LabelSelector,
        manifest::{self, ManifestDocument},
    },
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Creates and changes objects as documents say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate apply -f gateways.yaml --dry-run\n\
    \x20 toolgate apply -f configuration/\n\
    \x20 toolgate apply -f configuration/ --prune -l team=ops")]
pub struct ApplyArgs {
    /// File, folder, or `-` for standard input.
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Let the control plane check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Delete objects of the kinds and organizations of the documents that are in no document. Needs `-l` or `--all`.
    #[arg(long)]
    pub prune: bool,
    /// Prune only objects with these labels, such as `team=ops`.
    #[arg(
        short = 'l',
        long = "selector",
        value_name = "SELECTOR",
        requires = "prune"
    )]
    pub selectors: Vec<String>,
    /// Prune all objects that are in no document.
    #[arg(long, requires = "prune", conflicts_with = "selectors")]
    pub all: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Number of documents after which progress is reported.
const PROGRESS_STEP: usize = 1_000;
/// Result of a dry run for a document that refers to an object which the same run would create.
const NOT_FULLY_CHECKED: &str = "not fully checked: it refers to what this run would create";

/// Result of applying one document.
struct AppliedObject {
    name: String,
    verb: &'static str,
    secret: Option<String>,
    /// Problems of an object that was accepted.
    warnings: Vec<String>,
}

impl ApplyArgs {
    /// Runs the command. After an error, the results before it are reported too: they hold secrets that are shown once.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let documents = read_all(&self.files)?;
        let prune = self.prune_selector()?;
        let mut results = Vec::new();
        let applied = self.apply_all(&documents, prune.as_ref(), &mut results, out);
        let applied = applied.await;
        // Also after an error: what was made before it is shown nowhere else, secrets included.
        report(out, &results)?;
        applied
    }

    /// Applies all documents and collects the results. After an error no further document is begun.
    async fn apply_all(
        &self,
        documents: &[ManifestDocument],
        prune: Option<&LabelSelector>,
        results: &mut Vec<AppliedObject>,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let admin = self.admin.connect()?;
        for group in concurrent::groups(documents) {
            self.apply_group(&admin, group, results, out).await?;
        }
        self.tell_lost_tokens(&admin, documents, results, out).await;
        if let Some(labels) = prune {
            let mode = (self.dry_run, results);
            prune::run(&self.admin, documents, labels, mode, out).await?;
        }
        Ok(())
    }

    /// Applies documents of one kind.
    async fn apply_group(
        &self,
        admin: &AdminClient,
        documents: &[ManifestDocument],
        results: &mut Vec<AppliedObject>,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let stop = StopFlag::default();
        let mut failed: Option<CliError> = None;
        let mut after_failure = 0_usize;
        let applying = concurrent::results(admin, documents, self.dry_run, &stop);
        let mut applying = pin!(applying);
        while let Some((document, result)) = applying.next().await {
            let applied = match result {
                None => continue,
                Some(Err(fault)) if self.dry_run && refers_to_created(&fault, results) => {
                    not_fully_checked(admin, document)
                }
                Some(Err(fault)) => {
                    stop.set();
                    failed = Some(match failed.take() {
                        None => with_document(fault, document, results, self.dry_run),
                        Some(first) => {
                            let (location, id) = (&document.location, &document.id);
                            let kind = document.kind.name;
                            first.with_note(format!("{location}: {kind} {id}: {}", fault.message))
                        }
                    });
                    continue;
                }
                Some(Ok(applied)) => applied,
            };
            after_failure += usize::from(failed.is_some());
            self.show(&applied, out)?;
            results.push(applied);
            if results.len().is_multiple_of(PROGRESS_STEP) {
                out.notice(format_args!("{} documents applied", results.len()));
            }
        }
        match failed {
            None => Ok(()),
            Some(fault) if after_failure == 0 || self.dry_run => Err(fault),
            Some(fault) => Err(fault.with_note(format!(
                "{} after it went through too, because they were being written",
                cell::counted(after_failure, "document", "documents")
            ))),
        }
    }

    /// Names the tokens that list a gateway of the name of a new one: they were made for a gateway that was deleted.
    async fn tell_lost_tokens(
        &self,
        admin: &AdminClient,
        documents: &[ManifestDocument],
        results: &[AppliedObject],
        out: &mut OutputWriter,
    ) {
        let mut created: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for document in documents.iter().filter(|it| it.kind.name == GATEWAY.name) {
            let client = concurrent::client_for(admin, document);
            let name = document
                .kind
                .resource_name(client.organization(), &document.id);
            let is_new = |it: &AppliedObject| it.name == name && it.verb == "created";
            if results.iter().any(is_new) {
                let of_organization = created.entry(client.organization().to_owned());
                of_organization.or_default().push(document.id.clone());
            }
        }
        for (organization, gateways) in created {
            let mut admin = admin.clone().with_organization(&organization);
            let gateways = gateways.iter().map(String::as_str);
            gateway_tokens::tell_lost(&mut admin, gateways, out).await;
        }
    }

    /// Writes the result of one document.
    fn show(&self, applied: &AppliedObject, out: &mut OutputWriter) -> Result<(), CliError> {
        if matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
            let suffix = if self.dry_run { " (dry run)" } else { "" };
            out.line(format_args!("{} {}{suffix}", applied.name, applied.verb))?;
            if let Some(secret) = &applied.secret {
                out.line(format_args!("  token: {secret}"))?;
                out.notice("  it is shown here and nowhere else: keep it");
            }
        } else if let (OutputFormat::Name, Some(secret)) = (out.format(), &applied.secret) {
            out.secret(&applied.name, secret);
        }
        for warning in &applied.warnings {
            out.notice(format_args!("  warning: {warning}"));
        }
        Ok(())
    }

    /// Returns the selector of the objects to prune, if any are to be.
    fn prune_selector(&self) -> Result<Option<LabelSelector>, CliError> {
        if !self.prune {
            return Ok(None);
        }
        let labels = LabelSelector::parse_all(&self.selectors)?;
        match labels.is_empty() && !self.all {
            true => Err(CliError::usage("--prune deletes what is in no document")
                .with_next_step("limit it with `-l SELECTOR`, or allow it with `--all`")),
            false => Ok(Some(labels)),
        }
    }
}

fn report(out: &mut OutputWriter, results: &[AppliedObject]) -> Result<(), CliError> {
    let objects = results.iter().map(|applied| {
        let mut object = json!({ "name": applied.name, "result": applied.verb });
        if let Some(secret) = &applied.secret {
            object["token"] = json!(secret);
        }
        object
    });
    match out.format() {
        OutputFormat::Table | OutputFormat::Wide => Ok(()),
        OutputFormat::Json => out.json(&objects.collect()),
        OutputFormat::Yaml => out.yaml(&objects.collect()),
        OutputFormat::Name => results
            .iter()
            .try_for_each(|applied| out.line(&applied.name)),
    }
}

fn read_all(files: &[PathBuf]) -> Result<Vec<ManifestDocument>, CliError> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(manifest::read(file)?);
    }
    documents.sort_by_key(|document| document.kind.rank());
    reject_duplicates(&documents)?;
    Ok(documents)
}

/// Rejects two documents of the same object: the later one would undo the earlier one on every run.
fn reject_duplicates(documents: &[ManifestDocument]) -> Result<(), CliError> {
    let mut seen = BTreeMap::new();
    for document in documents {
        let object = (document.kind.name, &document.organization, &document.id);
        if let Some(earlier) = seen.insert(object, &document.location) {
            return Err(CliError::error(format!(
                "{}: {} {} stands in {earlier} already",
                document.location, document.kind.name, document.id
            ))
            .with_next_step("leave one of the two out, or give it another name"));
        }
    }
    Ok(())
}

/// Returns the result of a dry run for a document that refers to what the same run would create.
fn not_fully_checked(admin: &AdminClient, document: &ManifestDocument) -> AppliedObject {
    let admin = concurrent::client_for(admin, document);
    let name = document
        .kind
        .resource_name(admin.organization(), &document.id);
    AppliedObject {
        name,
        verb: NOT_FULLY_CHECKED,
        secret: None,
        warnings: Vec::new(),
    }
}

/// Prefixes an error with its document and notes the number of documents applied before it.
fn with_document(
    fault: CliError,
    document: &ManifestDocument,
    done: &[AppliedObject],
    dry_run: bool,
) -> CliError {
    let id_field = format!("{}_id", document.kind.kind.field());
    let fault = fault.with_flags(&[(&id_field, "metadata.name")]);
    let location = document.location_of(&fault.message);
    let fault = missing_value::explain(fault, document);
    let fault = fault.with_prefix(format_args!(
        "{location}: {} {}",
        document.kind.name, document.id
    ));
    match (done.len(), dry_run) {
        (0, _) => fault,
        (count, true) => fault.with_note(format!(
            "{} before it would go through",
            cell::counted(count, "document", "documents")
        )),
        (count, false) => fault.with_note(format!(
            "{} before it went through; apply again after the fix",
            cell::counted(count, "document", "documents")
        )),
    }
}

/// Returns `true` if a dry run failed only because an object is missing that the same run would create first. The created
/// object may itself be not fully checked.
fn refers_to_created(fault: &CliError, done: &[AppliedObject]) -> bool {
    let Some(missing) = &fault.missing else {
        return false;
    };
    let is_created =
        |applied: &AppliedObject| ["created", NOT_FULLY_CHECKED].contains(&applied.verb);
    let mut created = done.iter().filter(|applied| is_created(applied));
    created.any(|applied| *applied.name == **missing)
}

#[cfg(test)]
mod tests;
