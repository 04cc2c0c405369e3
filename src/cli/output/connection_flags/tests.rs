//! Tests of connection flags in messages.

use super::*;

fn flags(arguments: &[&str]) -> ConnectionFlags {
    ConnectionFlags::of(arguments.iter().map(OsString::from))
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
