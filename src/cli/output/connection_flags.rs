//! Connection flags in messages. A command that a message names is copied and run, and has to reach the same deployment as
//! the command that told it.

use std::{borrow::Cow, ffi::OsString};

use clap::{ArgMatches, parser::ValueSource};

/// Flags that choose a deployment and an organization, with their short names. Flags with secrets are not repeated.
const FLAGS: [(&str, &str); 4] = [
    ("--addr", ""),
    ("--organization", "-O"),
    ("--ca", ""),
    ("--data-dir", ""),
];

/// Ids of these flags in the parser.
const IDS: [&str; FLAGS.len()] = ["addr", "organization", "ca", "data_dir"];

/// First words of commands that take none of the flags, or other ones of the same name.
const OTHER_COMMANDS: [&str; 7] = [
    "up",
    "control-plane",
    "proxy",
    "explain",
    "version",
    "help",
    "completion",
];

/// Program name with which commands in messages begin.
const PROGRAM: &str = "`toolgate ";

/// Connection flags of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionFlags(Vec<(&'static str, String)>);

impl ConnectionFlags {
    /// Returns the flags of a parsed command. A value from the environment holds for the next command too, and is not
    /// repeated.
    pub fn of_command(matches: &ArgMatches) -> Self {
        let mut command = matches;
        while let Some((_, inner)) = command.subcommand() {
            command = inner;
        }
        let given = FLAGS.iter().zip(IDS).filter_map(|((long, _), id)| {
            // Fails for commands without this flag.
            let value = command.try_get_raw(id).ok()??.next_back()?.to_str()?;
            let is_flag = command.value_source(id) == Some(ValueSource::CommandLine);
            is_flag.then(|| (*long, quoted(value)))
        });
        Self(given.collect())
    }

    /// Returns the flags among the words of a command line that could not be parsed, as far as they can be recognized.
    pub fn of_words(arguments: &[OsString]) -> Self {
        let mut flags = Vec::new();
        let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
        while let Some(argument) = arguments.next().filter(|argument| *argument != "--") {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, None),
            };
            let known = FLAGS
                .iter()
                .find(|(long, short)| *long == name || *short == name);
            let Some((long, _)) = known.filter(|_| !name.is_empty()) else {
                continue;
            };
            if let Some(value) = value.or_else(|| arguments.next()) {
                flags.retain(|(given, _)| given != long);
                flags.push((*long, quoted(value)));
            }
        }
        Self(flags)
    }

    /// Adds the flags to the commands between backticks in a text, where they are not given.
    pub fn add_to<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.0.is_empty() || !text.contains(PROGRAM) {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(PROGRAM) {
            let (before, command) = rest.split_at(start + PROGRAM.len());
            out.push_str(before);
            let end = command.find('`').unwrap_or(command.len());
            let (command, after) = command.split_at(end);
            for (flag, value) in self.missing_in(command) {
                out.push_str(&format!("{flag} {value} "));
            }
            out.push_str(command);
            rest = after;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn missing_in<'a>(
        &'a self,
        command: &'a str,
    ) -> impl Iterator<Item = &'a (&'static str, String)> {
        let words = || command.split_whitespace();
        let first = words().next().unwrap_or_default();
        let takes_none = OTHER_COMMANDS.contains(&first) || words().any(|word| word == "--help");
        let has = move |flag: &str| {
            let short = FLAGS.iter().find(|(long, _)| *long == flag);
            let short = short.map_or("", |(_, short)| short);
            let mut words = command.split_whitespace();
            words.any(|word| word == flag || (!short.is_empty() && word == short))
        };
        self.0
            .iter()
            .filter(move |(flag, _)| !takes_none && !has(flag))
    }
}

/// Returns a value as a shell reads it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:@%+=,-".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
