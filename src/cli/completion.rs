//! Shell completion: of commands and flags always, of resource names when the control plane answers quickly.

use std::{collections::BTreeSet, ffi::OsStr, time::Duration};

use clap::{FromArgMatches as _, ValueEnum};
use clap_complete::{ArgValueCompleter, CompletionCandidate, env::Shells};
use serde_json::Value;

use super::{
    admin::AdminOptions,
    cell,
    connect::clients,
    fault::Fault,
    kind::{ALL, CATALOGUE, GATEWAY, Kind, SERVER, TOKEN},
    known,
    out::Out,
};

/// Set by the shell when it asks for candidates.
pub const VARIABLE: &str = "TOOLGATE_COMPLETE";
/// Nobody waits longer for a list of names.
const PATIENCE: Duration = Duration::from_millis(700);

/// Prints the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate completion bash")]
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

/// What completes words of the command line by a function of this module.
pub fn by(candidates: fn(&OsStr) -> Vec<CompletionCandidate>) -> ArgValueCompleter {
    ArgValueCompleter::new(candidates)
}

/// Kinds of objects, as they are listed.
pub fn kinds(typed: &OsStr) -> Vec<CompletionCandidate> {
    among(typed, ALL.iter().map(|kind| kind.plural.to_owned()))
}

/// Clients that can be connected.
pub fn clients(typed: &OsStr) -> Vec<CompletionCandidate> {
    among(
        typed,
        clients::ALL.iter().map(|client| client.id.to_owned()),
    )
}

/// Names of the kind that stands before the word on the command line.
pub fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let kind = words.windows(2).find_map(|pair| match pair {
        [verb, kind] if ["get", "describe", "delete"].contains(&verb.as_str()) => {
            Kind::parse(kind).ok()
        }
        _ => None,
    });
    let names = kind.map(|kind| ids(kind, listed(kind)));
    among(typed, names.unwrap_or_default())
}

/// Names of gateways.
pub fn gateways(typed: &OsStr) -> Vec<CompletionCandidate> {
    among(typed, ids(&GATEWAY, listed(&GATEWAY)))
}

/// Names of servers.
pub fn servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    among(typed, ids(&SERVER, listed(&SERVER)))
}

/// Names of tokens.
pub fn tokens(typed: &OsStr) -> Vec<CompletionCandidate> {
    among(typed, ids(&TOKEN, listed(&TOKEN)))
}

/// Tools by the names that clients see, of the gateway on the command line or of all.
pub fn tools(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut gateways = listed(&GATEWAY);
    if let Some(id) = given("--gateway") {
        gateways.retain(|gateway| cell::id(gateway, "/metadata/name") == id);
    }
    let names = known::tools_of(&gateways).into_iter().map(str::to_owned);
    among(typed, names.collect::<BTreeSet<_>>())
}

/// Tools by the names of their server, the one on the command line or all.
pub fn tools_of_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut catalogues = listed(&CATALOGUE);
    if let Some(id) = given("--server") {
        catalogues.retain(|catalogue| cell::id(catalogue, "/name") == id);
    }
    let lists = catalogues.iter().filter_map(|it| it["tools"].as_array());
    let names = lists.flatten().filter_map(|tool| tool["name"].as_str());
    let names = names.map(str::to_owned).collect::<BTreeSet<_>>();
    among(
        typed,
        ["all", "none"].map(str::to_owned).into_iter().chain(names),
    )
}

fn among(typed: &OsStr, words: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    words
        .into_iter()
        .filter(|word| word.starts_with(&*typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// The value of an option that stands on the command line already.
fn given(flag: &str) -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    words.windows(2).find_map(|pair| match pair {
        [word, value] if word == flag => Some(value.clone()),
        _ => None,
    })
}

fn ids(kind: &Kind, objects: Vec<Value>) -> Vec<String> {
    let id = |object| kind.name_of(object).rsplit('/').next().map(str::to_owned);
    objects.iter().filter_map(id).collect()
}

/// All there is of a kind. Silent about every failure: a shell is waiting.
fn listed(kind: &'static Kind) -> Vec<Value> {
    // A thread of its own: the caller may already be inside a runtime.
    let listing = std::thread::spawn(move || list(kind));
    let listed = listing.join().ok().and_then(Result::ok);
    listed.unwrap_or_default()
}

fn list(kind: &'static Kind) -> Result<Vec<Value>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::error(error.to_string()))?;
    runtime.block_on(async {
        let mut admin = options()?.connect()?;
        let list = tokio::time::timeout(PATIENCE, admin.list(kind)).await;
        list.map_err(|_elapsed| Fault::error("too slow"))?
    })
}

/// The options as the environment gives them, and where to go as the command line does.
fn options() -> Result<AdminOptions, Fault> {
    let command = <AdminOptions as clap::Args>::augment_args(clap::Command::new("toolgate"));
    let mut words = vec!["toolgate".to_owned()];
    for flag in ["--addr", "--data-dir", "--organization", "--ca"] {
        words.extend(
            given(flag)
                .into_iter()
                .map(|value| format!("{flag}={value}")),
        );
    }
    let matches = command
        .try_get_matches_from(words)
        .map_err(|error| Fault::error(error.to_string()))?;
    AdminOptions::from_arg_matches(&matches).map_err(|error| Fault::error(error.to_string()))
}

#[cfg(test)]
mod tests;
