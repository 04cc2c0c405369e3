//! Tests of tables of arguments and of examples.

use serde_json::json;

use super::{argument_rows, example};

#[test]
fn arguments_are_a_table_and_the_example_has_what_is_required() {
    let schema = json!({
        "type": "object",
        "required": ["query", "range"],
        "properties": {
            "query": { "type": "string", "description": "Words\n to find" },
            "limit": { "type": "integer", "default": 10 },
            "mode": { "enum": ["fast", "full"] },
            "tags": { "type": "array", "items": { "type": "string" } },
            "range": {
                "type": "object", "required": ["from"],
                "properties": { "from": { "type": ["integer", "null"], "minimum": 5 } },
            },
        },
    });
    let rows = argument_rows(&schema);
    let row = |name: &str| rows.iter().find(|row| row[0] == name).unwrap().join("|");
    assert_eq!(row("query"), "query|string|yes|-|Words to find");
    assert_eq!(row("limit"), "limit|integer|no|10|");
    assert_eq!(row("mode"), "mode|\"fast\" | \"full\"|no|-|");
    assert_eq!(row("tags"), "tags|list of string|no|-|");
    assert_eq!(row("range.from"), "range.from|integer | null|yes|-|");
    assert_eq!(
        example(&schema, 0),
        json!({ "query": "TEXT", "range": { "from": 5 } })
    );
    assert!(argument_rows(&json!({ "type": "object" })).is_empty());
    assert_eq!(example(&json!({}), 0), json!({}));
}
