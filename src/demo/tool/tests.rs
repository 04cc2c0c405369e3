//! Tests of the tools' results.

use serde_json::json;
use toolgate_model::Timestamp;

use super::{ToolCallOutcome, call, definitions};

fn done(name: &str, arguments: serde_json::Value) -> serde_json::Value {
    match call(name, &arguments, Timestamp(1_700_000_000_000)) {
        ToolCallOutcome::Done(result) => result,
        other @ (ToolCallOutcome::Slow(_) | ToolCallOutcome::Unknown) => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_added_and_integers_stay_integers() {
    assert_eq!(
        done("add", json!({ "a": 2, "b": 3 }))["structuredContent"]["sum"],
        json!(5)
    );
    assert_eq!(
        done("add", json!({ "a": 0.5, "b": 1 }))["structuredContent"]["sum"],
        json!(1.5)
    );
    assert_eq!(done("add", json!({ "a": "2" }))["isError"], true);
}

#[test]
fn the_time_tool_supports_any_time_zone() {
    let berlin = done("time", json!({ "zone": "Europe/Berlin" }));
    assert_eq!(
        berlin["content"][0]["text"],
        "2023-11-14 23:13:20 CET (Tuesday)"
    );
    assert_eq!(
        done("time", json!({}))["content"][0]["text"],
        "2023-11-14 22:13:20 UTC (Tuesday)"
    );
    assert_eq!(
        done("time", json!({ "zone": "Mars/Base" }))["isError"],
        true
    );
}

#[test]
fn exactly_the_defined_tools_exist() {
    for tool in definitions() {
        let name = tool["name"].as_str().unwrap();
        assert_ne!(
            call(name, &json!({}), Timestamp(0)),
            ToolCallOutcome::Unknown,
            "{name}"
        );
    }
    assert_eq!(
        call("rm", &json!({}), Timestamp(0)),
        ToolCallOutcome::Unknown
    );
}
