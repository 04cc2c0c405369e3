//! Tests of the lines, and of the requests for streams.

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::cli::{Cli, CliCommand, ClientCommand};

fn arguments(line: &str) -> Option<LogsArgs> {
    let parsed = Cli::try_parse_from(line.split(' ')).ok()?;
    let CliCommand::Client(command) = parsed.command else {
        return None;
    };
    if let ClientCommand::Logs(arguments) = *command {
        return Some(arguments);
    }
    None
}

fn screen() -> LogsScreen {
    LogsScreen {
        shown: ShownCalls::default(),
        columns: CallColumns::new(false, None),
        last_message: Instant::now(),
        synced: false,
        has_heading: false,
        missing: Vec::new(),
        empty: String::new(),
    }
}

fn call() -> Value {
    json!({
        "proxy": "proxy-1", "sequence": "7", "time": "2026-07-28T10:11:12.123Z",
        "gateway": "organizations/default/gateways/tools", "principal": "user:ada", "token": "laptop",
        "client": "agent", "protocolVersion": "2026-07-28", "method": "tools/call",
        "tool": "git__search", "server": "git", "result": "CALL_RESULT_FAILED",
        "reason": "upstream_timeout", "durationUs": "30012345", "requestBytes": "100",
        "responseBytes": "200",
    })
}

#[test]
fn a_line_has_the_facts_of_a_call_in_columns() {
    let mut columns = CallColumns::new(false, None);
    let heading = columns.heading();
    let line = columns.row(&call());
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "2026-07-28T10:11:12.123Z",
            "proxy-1",
            "user:ada",
            "agent",
            "modern",
            "tools/call",
            "git__search",
            "git",
            "failed:",
            "upstream_timeout",
            "30.01s",
            "200"
        ]
    );
    assert_eq!(heading.find("PROXY"), line.find("proxy-1"));
    let mut wide = CallColumns::new(true, None);
    let line = wide.row(&call());
    for part in ["tools", "2026-07-28", "laptop", "100", "7"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let refused = json!({ "result": "CALL_RESULT_REFUSED", "reason": "unauthenticated" });
    let line = columns.row(&refused);
    assert!(line.contains("refused: unauthenticated"), "{line}");
}

#[test]
fn a_call_is_shown_once_and_again_after_its_proxy_was_restarted() {
    let mut shown = ShownCalls::default();
    assert!(shown.insert(&call()));
    assert!(!shown.insert(&call()));
    let mut later = call();
    later["time"] = json!("2026-07-28T11:00:00Z");
    assert!(shown.insert(&later));
}

#[test]
fn the_number_of_past_calls_depends_on_what_is_asked_for() {
    let past = |line: &str| arguments(line).unwrap().past_calls();
    assert_eq!(past("toolgate logs tools"), DEFAULT_TAIL);
    assert_eq!(past("toolgate logs tools -f"), DEFAULT_TAIL);
    assert_eq!(past("toolgate logs tools --since 5m"), PAST_RECORDS);
    assert_eq!(past("toolgate logs tools --follow=false"), PAST_RECORDS);
    assert_eq!(past("toolgate logs tools --tail 3 --since 5m"), 3);
    assert!(arguments("toolgate logs tools --tail 1001").is_none());
    assert!(arguments("toolgate logs tools --user ada --team ops").is_none());
}

#[test]
fn a_stream_after_another_one_begins_where_that_one_ended() {
    let wanted = arguments("toolgate logs tools --user ada --tool git__search --failed").unwrap();
    let mut screen = screen();
    let first = wanted.request("default", &screen);
    assert_eq!(first["gateway"], "organizations/default/gateways/tools");
    assert_eq!(first["principal"], "user:ada");
    assert_eq!(
        (&first["tail"], &first["sinceSeconds"]),
        (&json!(10), &json!("0"))
    );
    screen.synced = true;
    let second = wanted.request("default", &screen);
    assert_eq!(second["tail"], PAST_RECORDS);
    let since: u64 = second["sinceSeconds"].as_str().unwrap().parse().unwrap();
    assert!(since >= OVERLAP.as_secs());
}

#[test]
fn lines_are_as_wide_as_the_terminal_at_most_and_keep_caller_tool_and_result() {
    let mut long = call();
    long["tool"] = json!("git__".to_owned() + &"search".repeat(20));
    for (wide, terminal) in [(false, 80), (false, 120), (true, 100), (true, 300)] {
        let mut columns = CallColumns::new(wide, Some(terminal));
        for call in [&call(), &long] {
            let line = columns.row(call);
            assert!(line.chars().count() <= terminal, "{terminal}: {line}");
            for part in ["2026-07-28T10:11:12.123Z", "user:ada", "git__sea", "failed"] {
                assert!(line.contains(part), "{part} at {terminal}: {line}");
            }
        }
        let cut = columns.row(&long);
        let heading = columns.heading();
        assert!(heading.chars().count() <= terminal, "{heading}");
        let position = |line: &str, part: &str| {
            let (before, _) = line.split_once(part).unwrap();
            before.chars().count()
        };
        assert_eq!(position(&heading, "TOOL"), position(&cut, "git__sea"));
        assert_eq!(
            columns.left_out().is_empty(),
            terminal == 120 || terminal == 300
        );
    }
    // Elsewhere than at a terminal, every cell is whole.
    let mut columns = CallColumns::new(true, None);
    assert!(columns.row(&long).contains(long["tool"].as_str().unwrap()));
    assert!(columns.left_out().is_empty());
}

#[test]
fn an_empty_result_says_what_the_command_waits_for() {
    let told = |line: &str| arguments(line).unwrap().empty_notice();
    let waits = told("toolgate logs tools --tool git__search --user ada --failed --since 5m");
    for part in [
        "through the gateway tools of the tool git__search of the user ada that failed",
        "in the last 5m0s",
        "waiting for the next one",
        "Ctrl-C",
    ] {
        assert!(waits.contains(part), "{part}: {waits}");
    }
    assert!(told("toolgate logs tools --tail 0").starts_with("waiting for requests through"));
    let ended = told("toolgate logs tools --follow=false");
    assert!(
        ended.contains("next: ") && !ended.contains("waiting"),
        "{ended}"
    );
}
