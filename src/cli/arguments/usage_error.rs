//! Errors of the parser of the command line in the form of all other errors: a message, the flag or command that was probably
//! meant, and the command that shows the help.

use std::ffi::OsString;

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::cli::output::{error::CliError, nearest_name::nearest};

/// Line of the parser that the next step replaces.
const MORE: &str = "For more information";
/// Beginnings of lines of the parser.
const ERROR: &str = "error: ";
const TIP: &str = "tip: ";
const USAGE: &str = "Usage: ";
/// Parts of a tip that names one similar name.
const SIMILAR: [&str; 2] = ["a similar ", " exists: "];

/// Returns the error for the command line `words`. Prints the text and ends the process if it is no error, but help or a
/// version.
pub fn explain(error: &clap::Error, words: &[OsString], program: &Command) -> CliError {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    ) {
        error.exit();
    }
    let (path, command) = command_of(words, program);
    let fault = of_text(&error.render().to_string());
    let fault = match similar_flag(error, command) {
        Some(flag)
            if !fault
                .notes
                .iter()
                .any(|note| note.starts_with("did you mean")) =>
        {
            fault.with_note(format!("did you mean `{flag}`?"))
        }
        Some(_) | None => fault,
    };
    let has_commands = command.has_subcommands();
    fault.with_next_step(match has_commands {
        true => format!("`{path} --help` lists the commands"),
        false => format!("`{path} --help` shows the arguments, and examples"),
    })
}

/// Returns the command that the words name, and the words that name it.
fn command_of<'a>(words: &[OsString], program: &'a Command) -> (String, &'a Command) {
    let mut path = program.get_name().to_owned();
    let mut command = program;
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(below) = command.find_subcommand(word) {
            path += &format!(" {}", below.get_name());
            command = below;
        }
    }
    (path, command)
}

/// Converts the text of the parser: the message, then a line for each of its details.
fn of_text(text: &str) -> CliError {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(MORE));
    let first = lines.next().unwrap_or_default();
    let mut message = first.strip_prefix(ERROR).unwrap_or(first).to_owned();
    let mut notes = Vec::new();
    let is_list = message.ends_with(':');
    for line in lines {
        if let Some(usage) = line.strip_prefix(USAGE) {
            notes.push(format!("usage: {usage}"));
        } else if let Some(tip) = line.strip_prefix(TIP) {
            notes.push(of_tip(tip));
        } else if is_list && notes.is_empty() {
            let separator = if message.ends_with(':') { " " } else { ", " };
            message += &format!("{separator}{line}");
        } else {
            notes.push(line.to_owned());
        }
    }
    notes
        .into_iter()
        .fold(CliError::usage(message), CliError::with_note)
}

/// Returns a tip of the parser as a question, if it names one similar name.
fn of_tip(tip: &str) -> String {
    let [before, between] = SIMILAR;
    let name = tip
        .strip_prefix(before)
        .and_then(|it| it.split_once(between));
    match name {
        Some((_, name)) => format!("did you mean `{}`?", name.trim_matches('\'')),
        None => tip.to_owned(),
    }
}

/// Returns the flag of a command that is most like an unknown one.
fn similar_flag(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let given = given.strip_prefix("--")?;
    let given = given.split('=').next().unwrap_or(given);
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    nearest(given, flags).map(|flag| format!("--{flag}"))
}

#[cfg(test)]
mod tests;
