//! Tests of cell formats, and of `-` for absent values.

use serde_json::json;

use super::{age, count, enum_word, format_duration, id, joined, parse_timestamp, version};

#[test]
fn an_absent_value_is_a_dash_and_never_an_error() {
    let empty = json!({});
    let cells = [
        id(&empty, "/metadata/name"),
        age(&empty, "/x", 5),
        version(&empty, "/wanted"),
    ];
    assert_eq!(cells, ["-", "-", "-"]);
    assert_eq!(count(&empty, "/status/tools"), "0");
}

#[test]
fn versions_enums_and_names_are_short() {
    let object = json!({
        "wanted": { "epoch": "1", "revision": "42" },
        "spec": { "era": "ERA_POLICY_LEGACY", "bindings": [{ "server": "a" }, { "server": "b" }] },
        "metadata": { "name": "organizations/acme/gateways/tools" },
    });
    assert_eq!(version(&object, "/wanted"), "1.42");
    assert_eq!(enum_word(&object, "/spec/era", "probe"), "legacy");
    assert_eq!(enum_word(&object, "/spec/drift", "follow"), "follow");
    assert_eq!(joined(&object, "/spec/bindings", "server"), "a,b");
    assert_eq!(id(&object, "/metadata/name"), "tools");
}

#[test]
fn ages_are_two_units_at_most() {
    let cases = [(5, "5s"), (61, "1m1s"), (3_725, "1h2m"), (90_000, "1d1h")];
    for (seconds, expected) in cases {
        assert_eq!(format_duration(seconds), expected);
    }
    assert_eq!(parse_timestamp("1970-01-01T00:00:01Z"), Some(1000));
}

#[test]
fn a_long_text_is_cut_between_words_with_an_ellipsis() {
    assert_eq!(super::summary_line("short\nmore"), "short");
    let long = super::summary_line(&"word ".repeat(40));
    assert!(
        long.ends_with("word …") && long.chars().count() <= 82,
        "{long}"
    );
    assert!(super::summary_line(&"ä".repeat(200)).ends_with('…'));
}
