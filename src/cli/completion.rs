//! Shell completion: of commands and flags always, of resource names when the control plane answers quickly.

use std::{ffi::OsStr, time::Duration};

use clap::{FromArgMatches as _, ValueEnum};
use clap_complete::{CompletionCandidate, env::Shells};

use super::{admin::AdminOptions, fault::Fault, kind::Kind, out::Out};

/// Set by the shell when it asks for candidates.
pub const VARIABLE: &str = "TOOLGATE_COMPLETE";
/// Nobody waits longer for a list of names.
const PATIENCE: Duration = Duration::from_millis(700);

/// Prints the completion script of a shell.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// Which shell. For bash: `source <(toolgate completion bash)`.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells that can be completed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Completion {
    /// Runs it.
    pub fn run(self, out: &mut Out) -> Result<(), Fault> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Elvish => "elvish",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
            Shell::Zsh => "zsh",
        };
        let shells = Shells::builtins();
        let completer = shells
            .completer(name)
            .ok_or_else(|| Fault::error(format!("no completion for {name}")))?;
        let mut script = Vec::new();
        completer
            .write_registration(VARIABLE, "toolgate", "toolgate", "toolgate", &mut script)
            .map_err(|error| Fault::error(format!("cannot write the script: {error}")))?;
        out.bytes(&script)
    }
}

/// Names of the kind that stands before the word on the command line. Silent about every failure: a shell is waiting.
pub fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    let words: Vec<String> = std::env::args().collect();
    let kind = words.windows(2).find_map(|pair| match pair {
        [verb, kind] if ["get", "describe", "delete"].contains(&verb.as_str()) => {
            Kind::parse(kind).ok()
        }
        _ => None,
    });
    // A thread of its own: the caller may already be inside a runtime.
    let listing = kind.map(|kind| std::thread::spawn(move || listed(kind)));
    let names = listing
        .and_then(|listing| listing.join().ok()?.ok())
        .unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.starts_with(&typed))
        .map(CompletionCandidate::new)
        .collect()
}

fn listed(kind: &'static Kind) -> Result<Vec<String>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::error(error.to_string()))?;
    runtime.block_on(async {
        let mut admin = options()?.connect()?;
        let list = tokio::time::timeout(PATIENCE, admin.list(kind)).await;
        let objects = list.map_err(|_elapsed| Fault::error("too slow"))??;
        let id = |object| {
            kind.name_of(object)
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        Ok(objects.iter().map(id).collect())
    })
}

/// The options as the environment alone gives them.
fn options() -> Result<AdminOptions, Fault> {
    let command = <AdminOptions as clap::Args>::augment_args(clap::Command::new("toolgate"));
    let matches = command
        .try_get_matches_from(["toolgate"])
        .map_err(|error| Fault::error(error.to_string()))?;
    AdminOptions::from_arg_matches(&matches).map_err(|error| Fault::error(error.to_string()))
}

#[cfg(test)]
mod tests;
