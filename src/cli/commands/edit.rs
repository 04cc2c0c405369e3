//! `edit`: opens the document of an object in an editor and applies it afterwards.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cli::{
    client::{admin::AdminCommandOptions, manifest},
    commands::{apply::apply_document, objects::to_document, selection::ObjectSelector},
    output::{OutputWriter, cell, error::CliError, to_yaml},
};

/// Editor if neither `VISUAL` nor `EDITOR` names one.
const DEFAULT_EDITOR: &str = "vi";

/// Edits an object.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate edit server git\n\
    \x20 toolgate edit server git --dry-run\n\
    \x20 toolgate edit gateway/tools --editor 'code --wait'")]
pub struct EditArgs {
    /// Object to edit.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Editor; its words are separated by spaces. Without it: VISUAL, EDITOR, or vi.
    #[arg(long, value_name = "COMMAND")]
    pub editor: Option<String>,
    /// Let the control plane check what was edited, write nothing, and keep it in a file.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl EditArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let (kind, names) = self.pick.resolve()?;
        let [name] = names.as_slice() else {
            let (field, plural) = (kind.field(), kind.plural);
            return Err(
                CliError::usage(format!("name one {field} to edit")).with_next_step(format!(
                    "`toolgate edit {field} NAME`; `toolgate get {plural}` lists what there is"
                )),
            );
        };
        if !kind.desired {
            return Err(CliError::usage(format!(
                "{} are observed; they cannot be edited",
                kind.plural
            ))
            .with_next_step(format!(
                "`toolgate describe {} NAME` shows one",
                kind.field()
            )));
        }
        let mut admin = self.admin.connect()?;
        let full = kind.resource_name(admin.organization(), name);
        let object = admin.get(kind, &full).await?;
        let mut document = to_document(kind, &object);
        if let Some(members) = document.as_object_mut() {
            members.remove("status");
        }
        let before = to_yaml(&document)?;
        let file = write_file(kind.plural, &before)?;
        self.open(&file)?;
        let after = fs::read_to_string(&file)
            .map_err(|error| CliError::error(format!("cannot read {}: {error}", file.display())))?;
        if after == before {
            let _left = fs::remove_file(&file);
            return out.line(format_args!("{full} unchanged"));
        }
        let label = file.display().to_string();
        let applied = apply_edited(&mut admin, &label, &after, self.dry_run).await;
        let verb = applied.map_err(|fault| {
            let next = format!("correct {label}, then `toolgate apply -f {label}`");
            match fault.next_step.clone() {
                Some(step) => fault.with_next_step(format!("{step}; what you wrote is in {label}")),
                None => fault.with_next_step(next),
            }
        })?;
        if self.dry_run {
            out.line(format_args!("{full} {verb} (dry run)"))?;
            out.notice(format_args!(
                "  next: `toolgate apply -f {label}` writes it; `toolgate diff -f {label}` shows what that changes"
            ));
            return Ok(());
        }
        let _left = fs::remove_file(&file);
        out.line(format_args!("{full} {verb}"))
    }

    fn open(&self, file: &Path) -> Result<(), CliError> {
        let given = self.editor.clone();
        let variable = |name| env::var(name).ok().filter(|it: &String| !it.is_empty());
        let editor = given
            .or_else(|| variable("VISUAL"))
            .or_else(|| variable("EDITOR"))
            .unwrap_or_else(|| DEFAULT_EDITOR.to_owned());
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or(DEFAULT_EDITOR);
        let ended = Command::new(program).args(words).arg(file).status();
        let advice = "name an editor with --editor, VISUAL or EDITOR";
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(CliError::error(format!(
                "the editor `{editor}` ended with {status}; nothing was changed"
            ))
            .with_next_step(advice)),
            Err(error) => {
                let _left = fs::remove_file(file);
                Err(
                    CliError::error(format!("cannot start the editor `{editor}`: {error}"))
                        .with_next_step(advice),
                )
            }
        }
    }
}

async fn apply_edited(
    admin: &mut crate::cli::client::admin::AdminClient,
    label: &str,
    text: &str,
    dry_run: bool,
) -> Result<&'static str, CliError> {
    let documents = manifest::parse(label, text)?;
    let [document] = documents.as_slice() else {
        return Err(CliError::error(format!(
            "{label} holds {}, not one",
            cell::counted(documents.len(), "document", "documents")
        )));
    };
    let mut admin = match &document.organization {
        Some(organization) => admin.clone().with_organization(organization),
        None => admin.clone(),
    };
    apply_document(&mut admin, document, dry_run).await
}

/// Writes the document to a new file that only its user can read.
fn write_file(plural: &str, text: &str) -> Result<PathBuf, CliError> {
    let id = crate::cli::client::gateway_access::short_id();
    let file = env::temp_dir().join(format!("toolgate-{plural}-{id}.yaml"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(file),
        Err(error) => Err(CliError::error(format!(
            "cannot write {}: {error}",
            file.display()
        ))),
    }
}
