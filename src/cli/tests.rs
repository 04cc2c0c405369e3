//! Tests of the command line as a whole.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

#[test]
fn the_command_line_definition_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn documented_script_commands_parse() {
    let lines = [
        "toolgate up --data-dir d --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
        "toolgate apply -f - --dry-run",
        "toolgate get gw tools -o json",
        "toolgate server add a --url http://x/mcp --header K=V --era legacy --protocol-version 2025-06-18",
        "toolgate gateway create g --server a --server b --tools all --prefix never",
        "toolgate token create ci --gateway g --ttl 30d -o json",
        "toolgate tools list --gateway g --token t",
        "toolgate tools call --gateway g echo --args {}",
        "toolgate connect claude-code --gateway g --write",
        "toolgate proxies",
        "toolgate proxies join-token --region eu",
        "toolgate versions --no-headers",
        "toolgate doctor",
        "toolgate completion bash",
    ];
    for line in lines {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert!(
            parsed.is_ok(),
            "{line}: {}",
            parsed.err().map(|e| e.to_string()).unwrap_or_default()
        );
    }
}

/// Splits a line into words like a shell, as far as the examples need it: at spaces, respecting single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Returns every command that runs, with the words that lead to it.
fn commands() -> Vec<(String, clap::Command)> {
    let mut open = vec![(String::from("toolgate"), Cli::command())];
    let mut found = Vec::new();
    while let Some((path, command)) = open.pop() {
        for below in command.get_subcommands() {
            open.push((format!("{path} {}", below.get_name()), below.clone()));
        }
        if path != "toolgate" && !command.is_subcommand_required_set() {
            found.push((path, command));
        }
    }
    found
}

#[test]
fn the_page_of_the_command_line_has_every_flag_of_every_command() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let sections: Vec<_> = page.split("\n### ").skip(1).collect();
    let role = ["toolgate up", "toolgate control-plane", "toolgate proxy"];
    let mut missing = Vec::new();
    for (path, command) in commands() {
        if role.contains(&path.as_str()) {
            continue;
        }
        let is_here = |section: &&&str| {
            let mut lines = section.lines();
            lines.any(|line| {
                line == path
                    || line.starts_with(&format!("{path} "))
                    || line.contains(&format!("({path} "))
            })
        };
        let Some(section) = sections.iter().find(is_here) else {
            missing.push(path);
            continue;
        };
        for argument in command.get_arguments() {
            let connection = argument.get_help_heading() == Some("Connection");
            let Some(long) = argument.get_long().filter(|_| !connection) else {
                continue;
            };
            if !section.contains(&format!("--{long}")) {
                missing.push(format!("{path} --{long}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_command_has_examples_that_parse() {
    let mut open = vec![(String::from("toolgate"), Cli::command())];
    let mut seen = 0;
    while let Some((path, command)) = open.pop() {
        for below in command.get_subcommands() {
            open.push((format!("{path} {}", below.get_name()), below.clone()));
        }
        let role = ["up", "control-plane", "proxy"];
        let runs = !command.is_subcommand_required_set() && !role.contains(&command.get_name());
        if path == "toolgate" || !runs {
            continue;
        }
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("`{path}` has no examples"));
        let mut lines = help.lines();
        assert_eq!(lines.next(), Some("Examples:"), "{path}");
        for line in lines {
            let example = line
                .strip_prefix("  ")
                .unwrap_or_else(|| panic!("{line:?}"));
            assert!(example.starts_with(&path), "`{example}` is not of `{path}`");
            let parsed = Cli::try_parse_from(words(example));
            let why = parsed.err().map(|error| error.to_string());
            assert_eq!(why, None, "{example}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
