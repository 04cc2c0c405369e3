//! Settings of a process. Precedence: flag, variable (`TOOLGATE_*`, and the usual ones of proxies), configuration file,
//! default. The file is YAML
//! whose keys are the names of flags, so that there is one vocabulary and one parser: settings from the file are
//! passed to the parser of the command line.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, parser::ValueSource};
use serde_json::Value;

use crate::{
    cli::{
        Cli,
        arguments::{self, usage_error},
        output::{OutputWriter, connection_flags::ConnectionFlags, error::CliError},
    },
    role,
};

/// Flag that names the configuration file.
const FILE_FLAG: &str = "config";
/// Maximum size of the file in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Settings whose values are never shown.
const SECRET_SETTINGS: [&str; 5] = [
    "token",
    "admin-token",
    "https-proxy",
    "http-proxy",
    "all-proxy",
];

/// Setting with its value and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSetting {
    /// Name of its flag.
    pub name: String,
    /// Effective value; empty for none.
    pub value: String,
    /// Source: `flag`, `env NAME`, `file` or `default`.
    pub source: String,
}

/// Command line after parsing.
#[derive(Debug)]
pub struct ParsedCommandLine {
    /// Command and its options.
    pub cli: Cli,
    /// Settings of the role, with their sources; empty for other commands.
    pub settings: Vec<ResolvedSetting>,
    /// Connection flags of the command.
    pub connection: ConnectionFlags,
}

/// Parses the command line, merges the configuration file into it, and returns every setting of the role with its
/// source.
pub fn parse(arguments: Vec<OsString>) -> Result<ParsedCommandLine, CliError> {
    let arguments = arguments::translated(arguments, &Cli::command())?;
    // Required settings may be in the file, so that the first pass requires none.
    let lenient = Cli::command().mut_subcommands(|role| role.mut_args(|arg| arg.required(false)));
    let strict = || {
        let parsed = Cli::command().try_get_matches_from(&arguments);
        parsed.map_err(|error| usage_error::explain(&error, &arguments, &Cli::command()))
    };
    let Ok(matches) = lenient.try_get_matches_from(&arguments) else {
        return finish(&strict()?, Vec::new());
    };
    let Some((role, given)) = matches.subcommand() else {
        return finish(&strict()?, Vec::new());
    };
    let command = Cli::command();
    let Some(command) = command
        .find_subcommand(role)
        .filter(|command| has_flag(command, FILE_FLAG))
    else {
        return finish(&strict()?, Vec::new());
    };
    let Ok(Some(file)) = given.try_get_one::<std::path::PathBuf>(FILE_FLAG) else {
        let matches = strict()?;
        let settings = match matches.subcommand() {
            Some((_, given)) => settings(command, given, &[]),
            None => Vec::new(),
        };
        return finish(&matches, settings);
    };
    let from_file = read(file, command)?;
    let missing: Vec<_> = from_file
        .into_iter()
        .filter(|(name, _)| !is_given(command, given, name))
        .collect();
    let position = arguments
        .iter()
        .position(|argument| argument == role)
        .unwrap_or(0);
    let (before, after) = arguments.split_at(position + 1);
    let added = missing.iter().flat_map(|(name, values)| {
        values
            .iter()
            .map(move |value| OsString::from(format!("--{name}={value}")))
    });
    let all: Vec<_> = before
        .iter()
        .cloned()
        .chain(added)
        .chain(after.iter().cloned())
        .collect();
    let matches = Cli::command().try_get_matches_from(all).map_err(|error| {
        CliError::usage(format!("{}: {}", file.display(), first_line(&error)))
            .with_next_step(format!("`toolgate {role} --help` lists the settings"))
    })?;
    let names: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let settings = match matches.subcommand() {
        Some((_, given)) => settings(command, given, &names),
        None => Vec::new(),
    };
    finish(&matches, settings)
}

/// Prints one line per setting, for `--print-config`.
pub fn print(settings: &[ResolvedSetting], out: &mut OutputWriter) -> Result<(), CliError> {
    let row = |s: &ResolvedSetting| vec![s.name.clone(), s.value.clone(), s.source.clone()];
    out.table(
        &["SETTING", "VALUE", "FROM"],
        settings.iter().map(row).collect(),
    )
}

fn finish(
    matches: &ArgMatches,
    settings: Vec<ResolvedSetting>,
) -> Result<ParsedCommandLine, CliError> {
    let cli =
        Cli::from_arg_matches(matches).map_err(|error| CliError::usage(first_line(&error)))?;
    Ok(ParsedCommandLine {
        cli,
        settings,
        connection: ConnectionFlags::of_command(matches),
    })
}

/// Reads names and values from the file. A flag without a value is `true`; a repeatable flag may be a list.
fn read(file: &Path, command: &Command) -> Result<Vec<(String, Vec<String>)>, CliError> {
    let path = file.display();
    let unreadable =
        |error: std::io::Error| CliError::usage(format!("cannot read {path}: {error}"));
    if fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(CliError::usage(format!(
            "{path} is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let entries: BTreeMap<String, serde_saphyr::Spanned<Value>> = serde_saphyr::from_str(&text)
        .map_err(|error| CliError::usage(format!("{path}: {}", error.without_snippet())))?;
    let mut settings = Vec::new();
    for (name, value) in entries {
        let line = value.referenced.line();
        if !has_flag(command, &name) || name == FILE_FLAG {
            return Err(
                CliError::usage(format!("{path}:{line}: there is no setting `{name}`"))
                    .with_next_step(format!(
                        "`toolgate {} --help` lists them",
                        command.get_name()
                    )),
            );
        }
        let values = setting_values(&value.value).ok_or_else(|| {
            CliError::usage(format!(
                "{path}:{line}: `{name}` must be a text, a number, true, or a list of these"
            ))
        })?;
        settings.push((name, values));
    }
    Ok(settings)
}

fn setting_values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(flag) => Some(vec![flag.to_string()]),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Array(items) => {
            let single = |item| setting_values(item).filter(|_| !matches!(item, Value::Array(_)));
            items
                .iter()
                .map(|item| single(item)?.into_iter().next())
                .collect()
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn settings(command: &Command, given: &ArgMatches, from_file: &[&str]) -> Vec<ResolvedSetting> {
    let arguments = command.get_arguments().filter(|argument| {
        let name = argument.get_long().unwrap_or_default();
        !matches!(name, "" | "help" | "version" | "print-config" | "config")
            && !argument.is_global_set()
            && (!argument.is_hide_set() || is_set(given, argument))
    });
    let setting = |argument: &clap::Arg| {
        let name = argument.get_long().unwrap_or_default();
        let id = argument.get_id().as_str();
        let values = given.try_get_raw(id).ok().flatten();
        let values: Vec<_> = values
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let value = match values.as_slice() {
            [] => default_value(command.get_name(), name),
            _ if SECRET_SETTINGS.contains(&name) => "(secret)".to_owned(),
            values => with_implied_values(command.get_name(), name, values),
        };
        let source = match given.value_source(id) {
            Some(ValueSource::CommandLine) if from_file.contains(&name) => "file".to_owned(),
            Some(ValueSource::CommandLine) => "flag".to_owned(),
            Some(ValueSource::EnvVariable) => {
                let variable = argument.get_env().unwrap_or_default().to_string_lossy();
                format!("env {variable}")
            }
            _ => "default".to_owned(),
        };
        ResolvedSetting {
            name: name.to_owned(),
            value,
            source,
        }
    };
    arguments.map(setting).collect()
}

/// Returns the value that a role uses if the setting is absent.
fn default_value(role: &str, name: &str) -> String {
    match name {
        "log" => role::default_filter(role).to_owned(),
        "egress-allow" => with_implied_values(role, name, &[]),
        _ => String::new(),
    }
}

/// Joins the given values with the values that the role always adds.
fn with_implied_values(role: &str, name: &str, values: &[String]) -> String {
    let loopback = match (role, name) {
        (role::UP, "egress-allow") => role::LOOPBACK.as_slice(),
        _ => &[],
    };
    let values = values.iter().map(String::as_str);
    values
        .chain(loopback.iter().copied())
        .collect::<Vec<_>>()
        .join(",")
}

/// Returns `true` if a flag or variable sets it, so that the value in the file is ignored.
fn is_given(command: &Command, given: &ArgMatches, name: &str) -> bool {
    let argument = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name));
    argument.is_some_and(|argument| is_set(given, argument))
}

fn is_set(given: &ArgMatches, argument: &clap::Arg) -> bool {
    let source = given.value_source(argument.get_id().as_str());
    matches!(
        source,
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

fn has_flag(command: &Command, name: &str) -> bool {
    command
        .get_arguments()
        .any(|argument| argument.get_long() == Some(name))
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
