//! Tests of connection flags in messages.

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

fn flags(arguments: &[&str]) -> ConnectionFlags {
    let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
    ConnectionFlags::of_words(&arguments)
}

fn parsed(arguments: &[&str]) -> ConnectionFlags {
    let matches = Cli::command().try_get_matches_from(arguments).unwrap();
    ConnectionFlags::of_command(&matches)
}

#[test]
fn the_flags_of_a_command_are_those_that_the_parser_found() {
    let get = [
        "toolgate",
        "get",
        "servers",
        "--addr=https://x:7400",
        "-O",
        "acme",
    ];
    assert_eq!(
        parsed(&get).add_to("`toolgate doctor`"),
        "`toolgate --addr https://x:7400 --organization acme doctor`"
    );
    let short = parsed(&["toolgate", "get", "servers", "-Oacme"]);
    assert_eq!(
        short.add_to("`toolgate doctor`"),
        "`toolgate --organization acme doctor`"
    );
    // The value of another flag is no flag, and neither are defaults.
    let labeled = ["toolgate", "get", "servers", "--selector=--addr=x"];
    assert_eq!(parsed(&labeled), ConnectionFlags::default());
    assert_eq!(flags(&labeled), ConnectionFlags::default());
    // A command without a connection has none of the flags.
    assert_eq!(parsed(&["toolgate", "explain"]), ConnectionFlags::default());
}

#[test]
fn a_command_in_a_message_reaches_the_deployment_of_the_command_that_tells_it() {
    let told =
        "next: `toolgate gateway create NAME --server ev2` offers them; `toolgate doctor` looks";
    for (arguments, expected) in [
        (&["toolgate", "get", "servers"][..], told.to_owned()),
        (
            &["toolgate", "--data-dir", "o2", "get", "servers"],
            told.replace("`toolgate ", "`toolgate --data-dir o2 "),
        ),
        (
            &[
                "toolgate",
                "get",
                "--addr=https://x:7400",
                "-O",
                "my org",
                "servers",
            ],
            told.replace(
                "`toolgate ",
                "`toolgate --addr https://x:7400 --organization 'my org' ",
            ),
        ),
        (
            &["toolgate", "get", "--", "--data-dir", "o2"],
            told.to_owned(),
        ),
        (
            &["toolgate", "get", "--data-dir", "a", "--data-dir", "it's"],
            told.replace("`toolgate ", r"`toolgate --data-dir 'it'\''s' "),
        ),
    ] {
        assert_eq!(flags(arguments).add_to(told), expected, "{arguments:?}");
    }
}

#[test]
fn commands_that_have_the_flag_or_take_none_are_left_as_they_are() {
    let flags = flags(&["toolgate", "--data-dir", "o2", "-O", "acme"]);
    for told in [
        "`toolgate up --data-dir o3`",
        "`toolgate get --help`",
        "`toolgate explain gateway`",
        "toolgate get servers",
        "`claude mcp add`",
        "",
    ] {
        assert_eq!(flags.add_to(told), told);
    }
    assert_eq!(
        flags.add_to("`toolgate get org -O other --data-dir x`"),
        "`toolgate get org -O other --data-dir x`"
    );
    assert_eq!(
        flags.add_to("an open `toolgate get"),
        "an open `toolgate --data-dir o2 --organization acme get"
    );
}

#[test]
fn tokens_are_not_repeated() {
    let given = [
        "toolgate",
        "get",
        "--admin-token",
        "secret",
        "--token=secret",
    ];
    assert_eq!(flags(&given), ConnectionFlags::default());
}
