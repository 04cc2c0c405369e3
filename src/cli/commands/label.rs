//! `label`: sets and removes labels of objects.

use serde_json::{Value, json};

use crate::cli::{
    client::{admin::AdminCommandOptions, kind::ApiResourceKind, label_selector::LabelSelector},
    commands::selection::{self, ObjectSelector},
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Sets and removes labels.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate label server git team=ops env=prod\n\
    \x20 toolgate label gateway/tools team-\n\
    \x20 toolgate label servers --all team=ops --overwrite")]
pub struct LabelArgs {
    /// Kind, or `kind/name`.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::written_kinds))]
    pub kind: String,
    /// Names, and labels: KEY=VALUE sets one, KEY- removes one.
    #[arg(required = true, value_name = "NAME|KEY=VALUE|KEY-", add = crate::cli::commands::completion::by(crate::cli::commands::completion::names))]
    pub words: Vec<String>,
    /// Replace the value of a label that an object has.
    #[arg(long)]
    pub overwrite: bool,
    /// Label the objects with these labels, such as `team=ops`, `team!=ops` or `env in (a,b)`.
    #[arg(short = 'l', long = "selector", value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Label all objects of the kind.
    #[arg(long, conflicts_with = "selectors")]
    pub all: bool,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Change of one label.
#[derive(Debug, PartialEq, Eq)]
enum LabelChange {
    Set(String, String),
    Remove(String),
}

/// Splits the words into names and changes.
fn parse(words: &[String]) -> Result<(Vec<String>, Vec<LabelChange>), CliError> {
    let (mut names, mut changes) = (Vec::new(), Vec::new());
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some(("", _)), _) | (None, Some("")) => {
                return Err(CliError::usage(format!("`{word}` names no label"))
                    .with_next_step("write KEY=VALUE to set a label, KEY- to remove one"));
            }
            (Some((key, value)), _) => {
                changes.push(LabelChange::Set(key.to_owned(), value.to_owned()));
            }
            (None, Some(key)) => changes.push(LabelChange::Remove(key.to_owned())),
            (None, None) => names.push(word.clone()),
        }
    }
    match changes.is_empty() {
        true => Err(CliError::usage("no label was given")
            .with_next_step("write KEY=VALUE to set a label, KEY- to remove one")),
        false => Ok((names, changes)),
    }
}

impl LabelArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let (names, changes) = parse(&self.words)?;
        let pick = ObjectSelector {
            kind: self.kind.clone(),
            names,
        };
        let (kind, names) = pick.resolve()?;
        if !kind.desired {
            return Err(
                CliError::usage(format!("{} have no labels", kind.plural)).with_next_step(
                    "select them by name; labels are on the kinds that `toolgate get all` shows",
                ),
            );
        }
        let labels = LabelSelector::parse_all(&self.selectors)?;
        if names.is_empty() && labels.is_empty() && !self.all {
            return Err(
                CliError::usage(format!("name the {} to label", kind.plural))
                    .with_next_step("give names, `-l SELECTOR`, or `--all`"),
            );
        }
        let mut admin = self.admin.connect()?;
        let found = selection::fetch(&mut admin, kind, &names, &labels).await?;
        for object in found.objects {
            let name = kind.name_of(&object).to_owned();
            let modified = admin.modify(kind, &name, self.dry_run, |object| {
                self.change(kind, object, &changes)
            });
            let modified = modified.await;
            let (written, changed) =
                modified.map_err(|fault| fault.with_flags(&[("metadata.labels", "KEY=VALUE")]))?;
            match out.format() {
                OutputFormat::Json => out.json(&written)?,
                OutputFormat::Yaml => {
                    out.yaml(&crate::cli::commands::objects::to_document(kind, &written))?;
                }
                OutputFormat::Name => out.line(&name)?,
                OutputFormat::Table | OutputFormat::Wide => {
                    let done = if changed { "labeled" } else { "unchanged" };
                    let suffix = if self.dry_run { " (dry run)" } else { "" };
                    out.line(format_args!("{name} {done}{suffix}"))?;
                }
            }
        }
        selection::missing_objects(found.missing)
    }

    /// Changes the labels of an object. Returns `false` if they are as wanted already.
    fn change(
        &self,
        kind: &ApiResourceKind,
        object: &mut Value,
        changes: &[LabelChange],
    ) -> Result<bool, CliError> {
        let name = kind.name_of(object).to_owned();
        let before = object["metadata"]["labels"].clone();
        let mut labels = before.as_object().cloned().unwrap_or_default();
        for change in changes {
            match change {
                LabelChange::Remove(key) => drop(labels.remove(key)),
                LabelChange::Set(key, value) => {
                    let present = labels.insert(key.clone(), json!(value));
                    let differs = present.filter(|it| it != value.as_str());
                    if let (Some(present), false) = (differs, self.overwrite) {
                        return Err(CliError::new(
                            CliErrorKind::Conflict,
                            format!(
                                "{name} has the label {key}={}",
                                present.as_str().unwrap_or("")
                            ),
                        )
                        .with_next_step("--overwrite replaces it"));
                    }
                }
            }
        }
        let changed = before.as_object().cloned().unwrap_or_default() != labels;
        object["metadata"]["labels"] = Value::Object(labels);
        Ok(changed)
    }
}

#[cfg(test)]
mod tests;
