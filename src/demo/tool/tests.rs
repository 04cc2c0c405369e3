//! Tests of the tools' results.

use serde_json::json;
use toolgate_model::Timestamp;

use super::{Outcome, call, definitions};

fn done(name: &str, arguments: serde_json::Value) -> serde_json::Value {
    match call(name, &arguments, Timestamp(1_700_000_000_000)) {
        Outcome::Done(result) => result,
        other @ (Outcome::Slow(_) | Outcome::Unknown) => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_added_and_stay_whole_where_they_are() {
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
fn the_time_is_told_in_any_zone() {
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
fn every_defined_tool_exists_and_no_other() {
    for tool in definitions() {
        let name = tool["name"].as_str().unwrap();
        assert_ne!(
            call(name, &json!({}), Timestamp(0)),
            Outcome::Unknown,
            "{name}"
        );
    }
    assert_eq!(call("rm", &json!({}), Timestamp(0)), Outcome::Unknown);
}
