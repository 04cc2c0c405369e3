//! References that lead nowhere are found; those within a schema are not.

use serde_json::json;

use super::*;

fn found(schema: &Value) -> bool {
    let tool = json!({"name": "t", "inputSchema": {}, "outputSchema": schema});
    is_unresolved(
        tool.to_string().as_bytes(),
        &["inputSchema", "outputSchema"],
    )
}

#[test]
fn mc_06_references_that_lead_nowhere_are_found() {
    for schema in [
        json!({"$ref": "https://evil.example/schema.json"}),
        json!({"$ref": "http://127.0.0.1/schema.json#/a"}),
        json!({"$ref": "other.json"}),
        json!({"$ref": "//evil.example/a"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"$ref": "https://evil.example/https://json-schema.org/"}),
        json!({"$dynamicRef": "https://evil.example/a#b"}),
        json!({"properties": {"a": {"items": [{"allOf": [{"$ref": "https://e.example/"}]}]}}}),
        json!({"$ref": "#/$defs/missing", "$defs": {"there": {}}}),
        json!({"$ref": "#missing", "$defs": {"a": {"$anchor": "there"}}}),
        json!({"$id": "https://a.example/one", "$ref": "https://a.example/other"}),
    ] {
        assert!(found(&schema), "{schema}");
    }
}

#[test]
fn references_within_a_schema_are_no_problem() {
    for schema in [
        json!({}),
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}}),
        json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": {}}}),
        json!({"$ref": "#there", "$defs": {"a": {"$anchor": "there"}}}),
        json!({"$dynamicRef": "#node", "$dynamicAnchor": "node"}),
        json!({"$id": "https://a.example/one", "$ref": "https://a.example/one#/$defs/a", "$defs": {"a": {}}}),
        json!({"$defs": {"a": {"$id": "https://a.example/x/part"}}, "$ref": "part"}),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema"}),
        json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
        // No references: data, and a property of that name.
        json!({"default": {"$ref": "https://e.example/"}, "enum": [{"$ref": "x"}]}),
        json!({"properties": {"$ref": {"type": "string"}}}),
    ] {
        assert!(!found(&schema), "{schema}");
    }
}

#[test]
fn a_schema_of_any_depth_is_searched_within_the_limit() {
    let mut deep = json!({"$ref": "https://e.example/"});
    for _ in 0..100 {
        deep = json!({"not": deep});
    }
    assert!(has_unresolved(&deep));
    for _ in 0..100 {
        deep = json!({"not": deep});
    }
    assert!(!has_unresolved(&deep));
}
