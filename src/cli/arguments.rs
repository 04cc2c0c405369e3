//! Words of the command line that other programs use, such as kubectl and gh, in terms of the commands of this one:
//! flags before the command, a verb after its noun or before it, synonyms of verbs, and words without a counterpart,
//! which are answered with the command to type.

pub mod usage_error;

use std::ffi::OsString;

use clap::{Arg, Command};

use crate::cli::{
    client::kind::{ApiResourceKind, GATEWAY},
    output::error::CliError,
};

/// Verbs that take objects of any kind, with their synonyms.
const VERBS: [(&str, &[&str]); 8] = [
    ("get", &["list", "ls"]),
    ("describe", &["show", "view", "info", "inspect"]),
    ("delete", &["rm", "remove", "del"]),
    ("edit", &[]),
    ("label", &[]),
    ("explain", &[]),
    ("wait", &[]),
    ("apply", &[]),
];

/// Verbs of a noun, with their synonyms.
const NOUN_VERBS: [(&str, &str, &str); 13] = [
    ("server", "create", "add"),
    ("server", "new", "add"),
    ("server", "refresh", "probe"),
    ("server", "set", "update"),
    ("gateway", "add", "create"),
    ("gateway", "new", "create"),
    ("token", "add", "create"),
    ("token", "new", "create"),
    ("token", "set", "update"),
    ("credential", "create", "set"),
    ("credential", "add", "set"),
    ("credential", "update", "set"),
    ("idp", "add", "create"),
];

/// Answer to words that take a change back.
const UNDO_ANSWER: &str = "`toolgate apply -f FILE` with the former documents writes the former state, and `--prune` deletes what was added; \
     `toolgate versions` and `toolgate events` show the changes, `toolgate diff -f FILE` what applying would change. \
     `toolgate connect CLIENT --gateway GATEWAY --undo` takes back the settings of a client";

/// Verbs of a noun without a counterpart, with the command to type instead.
const NOUN_ANSWERS: [(&str, &[&str], &str); 4] = [
    (
        "gateway",
        &["update", "set"],
        "`toolgate edit gateway NAME`, `toolgate gateway add-tool`, `toolgate gateway remove-tool`, or `toolgate apply -f FILE`",
    ),
    (
        "token",
        &["rotate", "renew", "refresh", "reset"],
        "`toolgate token create OTHER --gateway GATEWAY` makes another token; hand it out, then `toolgate token revoke NAME`. \
         `toolgate token update NAME` changes what a token opens, and until when",
    ),
    (
        "server",
        &["logs", "status", "test", "ping"],
        "`toolgate server probe NAME` asks the server now, `toolgate describe server NAME` shows what is known of it, and \
         `toolgate logs GATEWAY --server NAME` its calls",
    ),
    (
        "credential",
        &["rotate", "renew", "reset"],
        "`toolgate credential set NAME` reads a new value",
    ),
];

/// Words without a counterpart, with the command to type instead.
const ANSWERS: [(&str, &str); 29] = [
    (
        "log",
        "`toolgate logs GATEWAY` shows the calls through a gateway; `toolgate events` shows changes and problems",
    ),
    (
        "status",
        "`toolgate doctor` looks for what is wrong; `toolgate get all` lists what there is",
    ),
    ("health", "`toolgate doctor`"),
    ("ping", "`toolgate doctor`"),
    ("check", "`toolgate doctor`"),
    (
        "login",
        "set TOOLGATE_ADDR and TOOLGATE_TOKEN; `toolgate whoami` shows what is in use",
    ),
    (
        "auth",
        "set TOOLGATE_ADDR and TOOLGATE_TOKEN; `toolgate whoami` shows what is in use",
    ),
    ("logout", "unset TOOLGATE_TOKEN"),
    (
        "config",
        "set TOOLGATE_ADDR, TOOLGATE_TOKEN and TOOLGATE_ORGANIZATION; `toolgate whoami` shows what is in use",
    ),
    ("cluster-info", "`toolgate whoami` and `toolgate proxies`"),
    ("api-resources", "`toolgate explain` lists the kinds"),
    ("replace", "`toolgate apply -f FILE`"),
    (
        "patch",
        "`toolgate edit KIND NAME`, `toolgate label`, or `toolgate server update`",
    ),
    (
        "set",
        "`toolgate server update`, `toolgate credential set`, or `toolgate edit KIND NAME`",
    ),
    ("annotate", "`toolgate label KIND NAME KEY=VALUE`"),
    (
        "rollout",
        "`toolgate proxies` and `toolgate versions` show how far a change has come; `toolgate apply -f FILE` with the former \
         documents takes it back",
    ),
    ("undo", UNDO_ANSWER),
    ("rollback", UNDO_ANSWER),
    ("revert", UNDO_ANSWER),
    ("restore", UNDO_ANSWER),
    ("history", "`toolgate versions`"),
    (
        "top",
        "the metrics of each proxy are at /metrics of its private listener; see docs/operations.md",
    ),
    (
        "exec",
        "`toolgate tools call --gateway GATEWAY TOOL --args JSON`",
    ),
    (
        "run",
        "`toolgate up`, or `toolgate tools call --gateway GATEWAY TOOL` for a tool",
    ),
    (
        "call",
        "`toolgate tools call --gateway GATEWAY TOOL --args JSON`",
    ),
    (
        "start",
        "`toolgate up`, or `toolgate control-plane` and `toolgate proxy`",
    ),
    (
        "serve",
        "`toolgate up`, or `toolgate control-plane` and `toolgate proxy`",
    ),
    ("expose", "`toolgate gateway create NAME --server SERVER`"),
    (
        "create",
        "`toolgate server add`, `toolgate gateway create`, `toolgate token create`, or `toolgate apply -f FILE`",
    ),
];

/// Returns the words in terms of the commands of this program. Words that are not understood stay, for the parser to
/// report.
pub fn translated(words: Vec<OsString>, program: &Command) -> Result<Vec<OsString>, CliError> {
    // A word that is no text is a file name, which comes after the command.
    let texts: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let Some((before, first)) = leading_flags(&texts, program) else {
        return Ok(words);
    };
    let mut command = texts[first..].iter().map(String::as_str);
    let (one, two) = (command.next().unwrap_or_default(), command.next());
    let (replaced, taken) = match translate(one, two, texts.len() - first, program)? {
        Some(translation) => translation,
        None => (vec![one.to_owned()], 1),
    };
    let mut all: Vec<OsString> = words.iter().take(1).cloned().collect();
    all.extend(before.own.iter().map(OsString::from));
    all.extend(replaced.iter().map(OsString::from));
    let rest = words.get(first + taken..).unwrap_or_default();
    let end = rest.iter().position(|word| word == "--");
    let (rest, positional) = rest.split_at(end.unwrap_or(rest.len()));
    for word in rest {
        all.extend(dry_run(word)?);
    }
    if one == HELP {
        all.push(OsString::from("--help"));
    }
    all.extend(before.of_command.iter().map(OsString::from));
    all.extend(positional.iter().cloned());
    Ok(all)
}

/// Command that shows the help of another one.
const HELP: &str = "help";

/// Command that takes a gateway, and may be written after its noun.
const LOGS: &str = "logs";

/// Flags before the command.
#[derive(Debug, Default)]
struct LeadingFlags {
    /// Flags of the program.
    own: Vec<String>,
    /// Flags of the command, which go after it.
    of_command: Vec<String>,
}

/// Splits off the flags before the command. Returns `None` if there is no command, or if a flag is unknown.
fn leading_flags(words: &[String], program: &Command) -> Option<(LeadingFlags, usize)> {
    let mut flags = LeadingFlags::default();
    let mut at = 1;
    loop {
        let word = words.get(at)?;
        if !word.starts_with('-') {
            return Some((flags, at));
        }
        let (is_own, takes_value) = match known_flag(program, word) {
            Some(argument) => (true, takes_value(argument)),
            None => (false, takes_value(known_below(program, word)?)),
        };
        let is_long = word.starts_with("--");
        let has_value = word.contains('=') || (!is_long && word.chars().count() > 2);
        let length = if takes_value && !has_value { 2 } else { 1 };
        let taken = words.get(at..at + length)?.iter().cloned();
        match is_own {
            true => flags.own.extend(taken),
            false => flags.of_command.extend(taken),
        }
        at += length;
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn known_flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut arguments = command.get_arguments();
    match word.strip_prefix("--") {
        Some(long) => {
            let name = long.split('=').next().unwrap_or(long);
            arguments.find(|argument| argument.get_long() == Some(name))
        }
        None => {
            let name = word.chars().nth(1)?;
            arguments.find(|argument| argument.get_short() == Some(name))
        }
    }
}

fn known_below<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command
        .get_subcommands()
        .find_map(|below| known_flag(below, word).or_else(|| known_below(below, word)))
}

/// Translates the first words of a command. Returns the words to put in their place, and how many these are.
fn translate(
    one: &str,
    two: Option<&str>,
    count: usize,
    program: &Command,
) -> Result<Option<(Vec<String>, usize)>, CliError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let is_command = |word: &str| program.find_subcommand(word).is_some();
    let two = two.filter(|word| !word.starts_with('-'));
    if one == HELP {
        return Ok(Some((Vec::new(), 1)));
    }
    if one == "version" {
        return Ok(Some((words(&["--version"]), count)));
    }
    // A noun first: `gateways rm`, `server list`.
    if let (Some(kind), Some(verb)) = (kind(one), two.and_then(any_verb)) {
        let own = noun_of(kind, program).and_then(|noun| noun.find_subcommand(verb));
        if own.is_none() {
            return Ok(Some((words(&[verb, kind.plural]), 2)));
        }
    }
    if two == Some(LOGS) && kind(one).is_some_and(|kind| kind.name == GATEWAY.name) {
        return Ok(Some((words(&[LOGS]), 2)));
    }
    // A verb first: `add server`, `call tools`.
    if let Some(noun) = two.and_then(|word| noun_named(word, program)) {
        let verb = noun_verb(noun.get_name(), one);
        if noun.find_subcommand(verb).is_some() && !is_command(one) {
            return Ok(Some((words(&[noun.get_name(), verb]), 2)));
        }
    }
    if let (Some(noun), Some(verb)) = (noun_named(one, program), two) {
        let own = noun_verb(noun.get_name(), verb);
        if noun.find_subcommand(own).is_none() {
            no_verb(noun.get_name(), verb)?;
        }
        return Ok(Some((words(&[noun.get_name(), own]), 2)));
    }
    if is_command(one) {
        return Ok(None);
    }
    if let Some(verb) = any_verb(one) {
        return Ok(Some((words(&[verb]), 1)));
    }
    if kind(one).is_some() && count == 1 {
        return Ok(Some((words(&["get", one]), 1)));
    }
    if one == "create" && two.is_none() && count > 1 {
        return Ok(Some((words(&["apply"]), 1)));
    }
    match ANSWERS.iter().find(|(word, _)| *word == one) {
        Some((word, answer)) => {
            Err(CliError::usage(format!("there is no command `{word}`")).with_next_step(*answer))
        }
        None => Ok(None),
    }
}

fn kind(word: &str) -> Option<&'static ApiResourceKind> {
    ApiResourceKind::parse(word).ok()
}

/// Returns the verb for objects of any kind that a word stands for.
fn any_verb(word: &str) -> Option<&'static str> {
    let stands_for =
        |(verb, synonyms): &&(&'static str, &[&str])| *verb == word || synonyms.contains(&word);
    VERBS.iter().find(stands_for).map(|(verb, _)| *verb)
}

fn noun_verb<'a>(noun: &str, word: &'a str) -> &'a str {
    let synonym = NOUN_VERBS
        .iter()
        .find(|(of, synonym, _)| *of == noun && *synonym == word);
    synonym.map_or(word, |(_, _, verb)| verb)
}

/// Answers a verb that a noun does not have, if there is another command for it.
fn no_verb(noun: &str, verb: &str) -> Result<(), CliError> {
    let mut answers = NOUN_ANSWERS.iter();
    match answers.find(|(of, verbs, _)| *of == noun && verbs.contains(&verb)) {
        Some((_, _, answer)) => Err(CliError::usage(format!(
            "there is no command `{noun} {verb}`"
        ))
        .with_next_step(*answer)),
        None => Ok(()),
    }
}

/// Returns the command for a noun in singular or plural.
fn noun_named<'a>(word: &str, program: &'a Command) -> Option<&'a Command> {
    let singular = kind(word).map(ApiResourceKind::field);
    let candidates = [
        singular.unwrap_or_default(),
        word.to_owned(),
        format!("{word}s"),
    ];
    let mut commands = candidates
        .iter()
        .filter_map(|it| program.find_subcommand(it));
    commands.find(|command| command.is_subcommand_required_set())
}

fn noun_of<'a>(kind: &ApiResourceKind, program: &'a Command) -> Option<&'a Command> {
    noun_named(&kind.field(), program)
}

/// Translates `--dry-run=server`; every dry run is one of the control plane.
fn dry_run(word: &OsString) -> Result<Option<OsString>, CliError> {
    match word
        .to_str()
        .and_then(|word| word.strip_prefix("--dry-run="))
    {
        None => Ok(Some(word.clone())),
        Some("server" | "true") => Ok(Some(OsString::from("--dry-run"))),
        Some("none" | "false") => Ok(None),
        Some(other) => Err(CliError::usage(format!(
            "--dry-run={other}: every dry run is a check by the control plane"
        ))
        .with_next_step("write `--dry-run` or `--dry-run=server`")),
    }
}

#[cfg(test)]
mod tests;
