//! Tests of the translation of words of other programs.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser as _};

use super::{ANSWERS, NOUN_ANSWERS, translated};
use crate::cli::Cli;

fn line(line: &str) -> String {
    let words = format!("toolgate {line}");
    let words = words.split(' ').map(OsString::from).collect();
    let command = Cli::command();
    match translated(words, &command) {
        Ok(words) => {
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            words[1..].join(" ")
        }
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn words_of_kubectl_and_gh_are_understood() {
    for (given, expected) in [
        ("server list", "get servers"),
        ("servers ls -o wide", "get servers -o wide"),
        ("gw rm tools", "delete gateways tools"),
        ("token list", "get tokens"),
        ("credential rm git", "delete credentials git"),
        ("proxy list", "get proxies"),
        ("org describe default", "describe organizations default"),
        ("servers add git --url u", "server add git --url u"),
        ("server create git --url u", "server add git --url u"),
        ("add server git --url u", "server add git --url u"),
        ("create gateway g --server s", "gateway create g --server s"),
        ("create token t", "token create t"),
        ("token set t --ttl 1d", "token update t --ttl 1d"),
        ("revoke token t", "token revoke t"),
        ("call tool x --gateway g", "tools call x --gateway g"),
        ("list tools --gateway g", "tools list --gateway g"),
        ("tool call x --gateway g", "tools call x --gateway g"),
        ("ls gateways", "get gateways"),
        ("rm server git", "delete server git"),
        ("show server git", "describe server git"),
        ("servers", "get servers"),
        ("create -f x.yaml", "apply -f x.yaml"),
        ("help", "--help"),
        ("help server add", "server add --help"),
        ("version", "--version"),
        ("--addr http://a get servers", "get servers --addr http://a"),
        ("-O acme -o json servers ls", "-o json get servers -O acme"),
        ("--organization=acme get gw", "get gw --organization=acme"),
        ("--data-dir d up", "up --data-dir d"),
        (
            "--gateway g tools call x -- y",
            "tools call x --gateway g -- y",
        ),
        ("apply -f x --dry-run=server", "apply -f x --dry-run"),
        ("apply -f x --dry-run=none", "apply -f x"),
        ("logs tools -f", "logs tools -f"),
        ("gateway logs tools --failed", "logs tools --failed"),
        ("get gateways", "get gateways"),
        ("proxies join-token", "proxies join-token"),
        ("nonsense", "nonsense"),
        ("--nonsense get gw", "--nonsense get gw"),
    ] {
        assert_eq!(line(given), expected, "{given}");
    }
}

#[test]
fn a_word_without_counterpart_is_answered_with_commands_that_exist() {
    let of_nouns = NOUN_ANSWERS.iter().flat_map(|(noun, verbs, answer)| {
        let verbs = verbs.iter();
        verbs.map(move |verb| (format!("{noun} {verb}"), *answer))
    });
    let of_words = ANSWERS.map(|(word, answer)| (word.to_owned(), answer));
    for (word, answer) in of_words.into_iter().chain(of_nouns) {
        let told = line(&word);
        assert!(told.contains("next:"), "{word}: {told}");
        for command in answer.split('`').skip(1).step_by(2) {
            let Some(arguments) = command.strip_prefix("toolgate ") else {
                continue;
            };
            let first: Vec<_> = arguments.split(' ').collect();
            let mut at = Cli::command();
            for name in first
                .iter()
                .take_while(|it| it.starts_with(char::is_lowercase))
            {
                if at.get_subcommands().next().is_none() {
                    break;
                }
                let below = at.find_subcommand(name).cloned();
                at = below.unwrap_or_else(|| panic!("{word}: `{command}`"));
            }
        }
    }
    assert!(line("apply -f x --dry-run=client").contains("--dry-run=server"));
    assert!(Cli::try_parse_from(["toolgate", "--version"]).is_err());
}
