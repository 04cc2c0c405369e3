//! Tests of durations and of the spec of a new token.

use std::time::Duration;

use clap::Parser;

use super::{
    CreateTokenArgs, TokenExpiry, TokenRequest, parse_duration, parse_token_prefix, spec_of,
    unoffered_tools,
};
use crate::cli::output::error::CliErrorKind;

#[test]
fn human_readable_durations_are_parsed() {
    let cases = [
        ("30d", 2_592_000),
        ("1h30m", 5_400),
        ("45s", 45),
        ("2w", 1_209_600),
    ];
    for (text, seconds) in cases {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_secs(seconds)),
            "{text}"
        );
    }
    for text in [
        "",
        "5",
        "d",
        "3y",
        "-1h",
        "0s",
        "99999999999999999999d",
        "18446744073709551615w",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn a_ttl_becomes_a_point_in_time() {
    let token_request = TokenRequest {
        expiry: Some(TokenExpiry::After(Duration::from_secs(60))),
        ..TokenRequest::default()
    };
    assert_eq!(
        spec_of(&token_request, 0).unwrap()["expireTime"],
        "1970-01-01T00:01:00Z"
    );
    assert!(
        spec_of(&TokenRequest::default(), 0)
            .unwrap()
            .get("expireTime")
            .is_none()
    );
}

#[test]
fn a_ttl_beyond_all_times_is_an_error_and_not_a_token_for_ever() {
    for days in [3_000_000, u64::MAX / 86_400] {
        let token_request = TokenRequest {
            expiry: Some(TokenExpiry::After(Duration::from_secs(days * 86_400))),
            ..TokenRequest::default()
        };
        let fault = spec_of(&token_request, 0).unwrap_err();
        assert_eq!(fault.kind, CliErrorKind::Usage, "{fault}");
        assert!(fault.message.contains("--ttl"), "{fault}");
    }
}

#[test]
fn an_unknown_tool_is_warned_of_with_a_suggestion() {
    let gateway = serde_json::json!({ "status": { "tools": [{ "name": "demo__echo" }] } });
    let words = |tools: &[&str]| {
        let tools: Vec<_> = tools.iter().map(|tool| (*tool).to_owned()).collect();
        unoffered_tools(std::slice::from_ref(&gateway), &tools)
    };
    assert!(words(&["demo__echo"]).is_empty());
    let warnings = words(&["demo__ecco", "demo__echo"]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("`demo__ecco`") && warnings[0].contains("`demo__echo`?"));
}

#[test]
fn tools_of_a_token_are_separated_by_commas() {
    #[derive(Parser)]
    struct TestCommand {
        #[command(flatten)]
        create: CreateTokenArgs,
    }
    let tools = |words: &[&str]| {
        let words = ["create", "ci"].iter().chain(words);
        TestCommand::try_parse_from(words).unwrap().create.tools
    };
    assert_eq!(
        tools(&["--tool", "a,b", "--tool", "c, d"]),
        ["a", "b", "c", "d"]
    );
    // An empty list of tools would allow all tools.
    assert_eq!(tools(&["--tool", "a,"]), ["a", ""]);
    assert_eq!(tools(&["--tool", ""]), [""]);
}

#[test]
fn a_token_prefix_that_gives_tokens_the_form_of_a_jwt_is_refused() {
    for good in ["archestra", "ey", "eyes", "my.corp.x", "a-b_c"] {
        assert_eq!(parse_token_prefix(good).as_deref(), Ok(good));
    }
    for bad in ["ey.a.b", "eyJ.x.", "ey.", "a b", "ä", "a\n"] {
        assert!(parse_token_prefix(bad).is_err(), "{bad}");
    }
}
