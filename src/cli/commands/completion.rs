//! Shell completion. Commands and flags are always completed, resource names only if the control plane answers
//! quickly.

use std::{collections::BTreeSet, ffi::OsStr, time::Duration};

use clap::{FromArgMatches as _, ValueEnum};
use clap_complete::{ArgValueCompleter, CompletionCandidate, env::Shells};
use serde_json::Value;

use crate::cli::{
    client::{
        admin::AdminCommandOptions,
        kind::{
            ALL, ApiResourceKind, CATALOGUE, CREDENTIAL, GATEWAY, IDENTITY_PROVIDER, SERVER, TOKEN,
        },
        schema, suggestions,
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

/// Completes kinds that operators write, by their plural names.
pub fn written_kinds(typed: &OsStr) -> Vec<CompletionCandidate> {
    let written = ALL.iter().filter(|kind| kind.desired);
    matching(typed, written.map(|kind| kind.plural.to_owned()))
}

/// Completes kinds, and the fields of a kind after `KIND.`.
pub fn explained_paths(typed: &OsStr) -> Vec<CompletionCandidate> {
    let text = typed.to_string_lossy();
    let Some((parent, _)) = text.rsplit_once('.') else {
        return kinds(typed);
    };
    let fields = schema::fields_at(parent).into_iter();
    matching(typed, fields.map(|field| format!("{parent}.{field}")))
}

/// Commands whose first argument is a kind, followed by names.
const VERBS_WITH_NAMES: [&str; 6] = ["get", "describe", "delete", "edit", "label", "wait"];

/// Completes names of the kind that precedes the word on the command line.
pub fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let names = kind_among(&words).map(|kind| ids(kind, list_or_empty(kind)));
    matching(typed, names.unwrap_or_default())
}

/// Returns the kind after a command that takes one.
fn kind_among(words: &[String]) -> Option<&'static ApiResourceKind> {
    words.windows(2).find_map(|pair| match pair {
        [verb, kind] if VERBS_WITH_NAMES.contains(&verb.as_str()) => {
            ApiResourceKind::parse(kind).ok()
        }
        _ => None,
    })
}

/// Completes names of gateways.
pub fn gateways(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(typed, ids(&GATEWAY, list_or_empty(&GATEWAY)))
}

/// Completes names of identity providers.
pub fn identity_providers(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(
        typed,
        ids(&IDENTITY_PROVIDER, list_or_empty(&IDENTITY_PROVIDER)),
    )
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

/// Completes prompts by the names that clients see: of the gateway on the command line, or of all gateways.
pub fn prompts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut gateways = list_or_empty(&GATEWAY);
    if let Some(id) = flag_value("--gateway") {
        gateways.retain(|gateway| cell::id(gateway, "/metadata/name") == id);
    }
    let lists = gateways
        .iter()
        .filter_map(|gateway| gateway.pointer("/status/prompts")?.as_array());
    let names = lists.flatten().filter_map(|it| it["name"].as_str());
    let names = names.map(str::to_owned);
    matching(typed, names.collect::<BTreeSet<_>>())
}

/// Completes tools by their names on the servers of the command line.
pub fn tools_of_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = offered_names(
        "tools",
        &flag_values("--server"),
        &list_or_empty(&CATALOGUE),
    );
    matching(typed, with_all_and_none(names))
}

/// Completes prompts by their names on the servers of the command line.
pub fn prompts_of_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = offered_names(
        "prompts",
        &flag_values("--server"),
        &list_or_empty(&CATALOGUE),
    );
    matching(typed, with_all_and_none(names))
}

/// Completes the servers of the command line.
pub fn chosen_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let servers = flag_values("--server").into_iter().collect();
    matching(typed, with_all_and_none(servers))
}

/// Completes tools as SERVER/TOOL: of all servers, or the tools that the gateway of `remove-tool` binds by
/// name.
pub fn server_tools(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let removed_from = words.windows(2).find_map(|pair| match pair {
        [verb, gateway] if verb == "remove-tool" => Some(gateway),
        _ => None,
    });
    let Some(gateway) = removed_from else {
        let all = list_or_empty(&CATALOGUE);
        let names = all.iter().flat_map(|it| qualified("tools", it));
        return matching(typed, names.collect::<BTreeSet<_>>());
    };
    let gateways = list_or_empty(&GATEWAY);
    let mut gateways = gateways.iter();
    let found = gateways.find(|it| cell::id(it, "/metadata/name") == *gateway);
    let bindings = found.and_then(|it| it.pointer("/spec/bindings")?.as_array());
    let bindings = bindings.map_or(&[][..], Vec::as_slice);
    matching(typed, suggestions::bound_tools(bindings))
}

/// Returns the names in a list of the definitions of servers, all of them if no server is given. With several servers the
/// names are SERVER/NAME.
fn offered_names(list: &str, servers: &[String], catalogues: &[Value]) -> BTreeSet<String> {
    let is_chosen = |it: &&Value| servers.is_empty() || servers.contains(&cell::id(it, "/name"));
    let chosen = catalogues.iter().filter(is_chosen);
    match servers.len() > 1 {
        true => chosen.flat_map(|it| qualified(list, it)).collect(),
        false => chosen.flat_map(|it| own_names(list, it)).collect(),
    }
}

fn own_names(list: &str, catalogue: &Value) -> Vec<String> {
    let names = catalogue[list].as_array().into_iter().flatten();
    let names = names.filter_map(|it| it["name"].as_str());
    names.map(str::to_owned).collect()
}

fn qualified(list: &str, catalogue: &Value) -> Vec<String> {
    let server = cell::id(catalogue, "/name");
    let names = own_names(list, catalogue).into_iter();
    names.map(|name| format!("{server}/{name}")).collect()
}

fn with_all_and_none(mut names: BTreeSet<String>) -> BTreeSet<String> {
    names.extend(["all", "none"].map(str::to_owned));
    names
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
    flag_values(flag).into_iter().next()
}

/// Returns all values of an option that is already on the command line, as `--flag value` or `--flag=value`.
fn flag_values(flag: &str) -> Vec<String> {
    let words: Vec<String> = std::env::args().collect();
    values_among(&words, flag)
}

fn values_among(words: &[String], flag: &str) -> Vec<String> {
    let of_pair = |(index, word): (usize, &String)| {
        let rest = word.strip_prefix(flag)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => words.get(index + 1).cloned(),
            None => None,
        }
    };
    words.iter().enumerate().filter_map(of_pair).collect()
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
