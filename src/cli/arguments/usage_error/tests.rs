//! Tests of the errors of the parser.

use std::ffi::OsString;

use clap::{CommandFactory as _, error::ErrorKind};

use super::explain;
use crate::cli::{Cli, output::error::CliErrorKind};

fn told(line: &str) -> String {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let error = Cli::command().try_get_matches_from(&words).unwrap_err();
    assert!(!matches!(error.kind(), ErrorKind::DisplayHelp), "{line}");
    let fault = explain(&error, &words, &Cli::command());
    assert_eq!(fault.kind, CliErrorKind::Usage, "{line}");
    fault.to_string()
}

#[test]
fn an_error_of_the_command_line_names_the_nearest_flag_and_the_help_of_the_command() {
    for (line, says) in [
        (
            "toolgate token create ci --gatway tools",
            &[
                "error: unexpected argument '--gatway' found",
                "did you mean `--gateway`?",
                "next: `toolgate token create --help` shows the arguments",
            ][..],
        ),
        (
            "toolgate tools list",
            &[
                "error: the following required arguments were not provided: --gateway <GATEWAY>\n",
                "usage: toolgate tools list --gateway <GATEWAY>",
                "next: `toolgate tools list --help`",
            ],
        ),
        (
            "toolgate server add x --url http://a --era modren",
            &[
                "invalid value 'modren' for '--era <ERA>'",
                "[possible values: auto, legacy, modern]",
                "did you mean `modern`?",
                "next: `toolgate server add --help`",
            ],
        ),
        (
            "toolgate frobnicate",
            &[
                "error: unrecognized subcommand 'frobnicate'",
                "next: `toolgate --help` lists the commands",
            ],
        ),
        (
            "toolgate token create ci --ttl soon",
            &["RFC 3339", "next: `toolgate token create --help`"],
        ),
    ] {
        let told = told(line);
        for part in says {
            assert!(told.contains(part), "{line}: {part}: {told}");
        }
        assert!(!told.contains("For more information"), "{told}");
    }
}
