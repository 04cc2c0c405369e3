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
        columns: CallColumns::new(false),
        last_message: Instant::now(),
        synced: false,
        has_heading: false,
        missing: Vec::new(),
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
    let mut columns = CallColumns::new(false);
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
    let mut wide = CallColumns::new(true);
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
