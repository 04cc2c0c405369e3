//! Shell completion. Commands and flags are always completed, resource names only if the control plane answers
//! quickly.

use std::{collections::BTreeSet, ffi::OsStr, time::Duration};

use clap::{FromArgMatches as _, ValueEnum};
use clap_complete::{ArgValueCompleter, CompletionCandidate, env::Shells};
use serde_json::Value;

use crate::cli::{
    client::{
        admin::AdminCommandOptions,
        kind::{ALL, ApiResourceKind, CATALOGUE, CREDENTIAL, GATEWAY, SERVER, TOKEN},
        suggestions,
    },
    commands::connect::clients,
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Environment variable that the shell sets when it requests candidates.
pub const VARIABLE: &str = "TOOLGATE_COMPLETE";
/// Timeout of a list request for candidates, short because the shell waits.
const LIST_TIMEOUT: Duration = Duration::from_millis(700);

/// Prints the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate completion bash")]
pub struct CompletionArgs {
    /// Shell to print the script for. For bash: `source <(toolgate completion bash)`.
    #[arg(value_enum)]
    pub shell: CompletionShell,
}

/// Supported shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl CompletionArgs {
    /// Runs the command.
    pub fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let name = match self.shell {
            CompletionShell::Bash => "bash",
            CompletionShell::Elvish => "elvish",
            CompletionShell::Fish => "fish",
            CompletionShell::Powershell => "powershell",
            CompletionShell::Zsh => "zsh",
        };
        let shells = Shells::builtins();
        let completer = shells
            .completer(name)
            .ok_or_else(|| CliError::error(format!("no completion for {name}")))?;
        let mut script = Vec::new();
        completer
            .write_registration(VARIABLE, "toolgate", "toolgate", "toolgate", &mut script)
            .map_err(|error| CliError::error(format!("cannot write the script: {error}")))?;
        out.bytes(&script)
    }
}

/// Wraps a function of this module as a completer of a command-line argument.
pub fn by(candidates: fn(&OsStr) -> Vec<CompletionCandidate>) -> ArgValueCompleter {
    ArgValueCompleter::new(candidates)
}

/// Completes kinds of objects by their plural names.
pub fn kinds(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ALL.iter().map(|kind| kind.plural.to_owned()))
}

/// Completes formats of output.
pub fn formats(typed: &OsStr) -> Vec<CompletionCandidate> {
    let formats = OutputFormat::value_variants().iter();
    let names =
        formats.filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()));
    matching(typed, names.chain(["jsonpath=".to_owned()]))
}

/// Completes the clients of `connect`.
pub fn clients(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(
        typed,
        clients::ALL.iter().map(|client| client.id.to_owned()),
    )
}

/// Completes names of the kind that precedes the word on the command line.
pub fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let kind = words.windows(2).find_map(|pair| match pair {
        [verb, kind] if ["get", "describe", "delete"].contains(&verb.as_str()) => {
            ApiResourceKind::parse(kind).ok()
        }
        _ => None,
    });
    let names = kind.map(|kind| ids(kind, list_or_empty(kind)));
    matching(typed, names.unwrap_or_default())
}

/// Completes names of gateways.
pub fn gateways(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ids(&GATEWAY, list_or_empty(&GATEWAY)))
}

/// Completes names of servers.
pub fn servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ids(&SERVER, list_or_empty(&SERVER)))
}

/// Completes names of credentials.
pub fn credentials(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ids(&CREDENTIAL, list_or_empty(&CREDENTIAL)))
}

/// Completes names of tokens.
pub fn tokens(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ids(&TOKEN, list_or_empty(&TOKEN)))
}

/// Completes tools by the names that clients see: of the gateway on the command line, or of all gateways.
pub fn tools(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut gateways = list_or_empty(&GATEWAY);
    if let Some(id) = flag_value("--gateway") {
        gateways.retain(|gateway| cell::id(gateway, "/metadata/name") == id);
    }
    let names = suggestions::tool_names(&gateways)
        .into_iter()
        .map(str::to_owned);
    matching(typed, names.collect::<BTreeSet<_>>())
}

/// Completes tools by their names on the server: of the server on the command line, or of all servers.
pub fn tools_of_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut catalogues = list_or_empty(&CATALOGUE);
    if let Some(id) = flag_value("--server") {
        catalogues.retain(|catalogue| cell::id(catalogue, "/name") == id);
    }
    let lists = catalogues.iter().filter_map(|it| it["tools"].as_array());
    let names = lists.flatten().filter_map(|tool| tool["name"].as_str());
    let names = names.map(str::to_owned).collect::<BTreeSet<_>>();
    matching(
        typed,
        ["all", "none"].map(str::to_owned).into_iter().chain(names),
    )
}

fn matching(typed: &OsStr, words: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    words
        .into_iter()
        .filter(|word| word.starts_with(&*typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// Returns the value of an option that is already on the command line.
fn flag_value(flag: &str) -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    words.windows(2).find_map(|pair| match pair {
        [word, value] if word == flag => Some(value.clone()),
        _ => None,
    })
}

fn ids(kind: &ApiResourceKind, objects: Vec<Value>) -> Vec<String> {
    let id = |object| kind.name_of(object).rsplit('/').next().map(str::to_owned);
    objects.iter().filter_map(id).collect()
}

/// Lists all objects of a kind. Every failure yields an empty list, because the shell is waiting for candidates
/// only.
fn list_or_empty(kind: &'static ApiResourceKind) -> Vec<Value> {
    // Runs on a thread of its own: the caller may already be inside a runtime.
    let listing = std::thread::spawn(move || list(kind));
    let listed = listing.join().ok().and_then(Result::ok);
    listed.unwrap_or_default()
}

fn list(kind: &'static ApiResourceKind) -> Result<Vec<Value>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::error(error.to_string()))?;
    runtime.block_on(async {
        let mut admin = options()?.connect()?;
        let list = tokio::time::timeout(LIST_TIMEOUT, admin.list(kind)).await;
        list.map_err(|_elapsed| CliError::error("too slow"))?
    })
}

/// Builds the admin options from the environment, with the connection flags of the command line.
fn options() -> Result<AdminCommandOptions, CliError> {
    let command = <AdminCommandOptions as clap::Args>::augment_args(clap::Command::new("toolgate"));
    let mut words = vec!["toolgate".to_owned()];
    for flag in ["--addr", "--data-dir", "--organization", "--ca"] {
        words.extend(
            flag_value(flag)
                .into_iter()
                .map(|value| format!("{flag}={value}")),
        );
    }
    let matches = command
        .try_get_matches_from(words)
        .map_err(|error| CliError::error(error.to_string()))?;
    AdminCommandOptions::from_arg_matches(&matches)
        .map_err(|error| CliError::error(error.to_string()))
}

#[cfg(test)]
mod tests;
