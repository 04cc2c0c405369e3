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
        // A fragment leads to a place in the resource that its document names, and in no other.
        json!({"$ref": "#/$defs/b", "$defs": {"a": {"$id": "https://a.example/a", "$defs": {"b": {}}}}}),
        json!({"$ref": "#b", "$defs": {"a": {"$id": "https://a.example/a", "$defs": {"b": {"$anchor": "b"}}}}}),
        json!({"$ref": "https://a.example/a#/$defs/c", "$defs": {"a": {"$id": "https://a.example/a"}, "c": {}}}),
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
        json!({"$defs": {"a": {"$id": "https://a.example/x/part", "$defs": {"b": {}}}}, "$ref": "x/part#/$defs/b"}),
        json!({"$defs": {"a": {"$id": "https://a.example/a", "$ref": "#/$defs/b", "$defs": {"b": {}}}}}),
        json!({"$defs": {"a": {"$id": "https://a.example/a", "$ref": "#/$defs/b"}, "b": {}}}),
        json!({"$defs": {"a": {"$id": "#there"}}, "$ref": "#there"}),
        json!({"$defs": {"a": {"$id": "#a", "$ref": "#/$defs/b"}, "b": {}}}),
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
    for _ in 0..MAX_DEPTH {
        deep = json!({"not": deep});
    }
    assert!(has_unresolved(&deep));
    assert!(!has_unresolved(&json!({"not": deep})));
}

/// Each reference is looked for in few resources, however many there are.
#[test]
fn many_references_to_many_resources_take_few_steps() {
    let resource = |n: usize| (format!("d{n}"), json!({"$id": format!("r{n}")}));
    let reference = |n: usize| json!({"$ref": format!("#/$defs/d{n}/$id")});
    let schema = |last: Value| {
        let mut all: Vec<Value> = (0..8_000).map(reference).collect();
        // References that are equal count once.
        all.extend((0..8_000).map(reference));
        all.push(last);
        let resources: Map<String, Value> = (0..9_000).map(resource).collect();
        json!({"$defs": resources, "allOf": all})
    };
    for (last, unresolved) in [
        (json!({"$ref": "r8999"}), false),
        (json!({"$ref": "r9000"}), true),
        (json!({"$ref": "#/$defs/d9000"}), true),
    ] {
        let schema = schema(last);
        let places = SchemaPlaces::of(&schema);
        assert_eq!(places.resources.len(), 9_001);
        assert_eq!(places.references.len(), 8_001);
        let steps = |(resource, reference): &(usize, &str)| {
            let document = reference.split('#').next().unwrap();
            places.named(*resource, document).len()
        };
        let steps: usize = places.references.iter().map(steps).sum();
        assert!(steps <= 8_001, "{steps}");
        assert_eq!(has_unresolved(&schema), unresolved);
    }
}

#[test]
fn a_relative_reference_is_looked_for_in_few_of_the_resources_with_that_name() {
    let resource =
        |n: usize| json!({"$id": format!("https://h{n}.example/part"), "$ref": "part#/x"});
    let schema = json!({"allOf": (0..100).map(resource).collect::<Vec<_>>()});
    let places = SchemaPlaces::of(&schema);
    assert_eq!(places.named(ROOT, "part").len(), MAX_NAMESAKES);
    assert_eq!(places.named(ROOT, "https://h7.example/part"), [8]);
    assert!(places.named(ROOT, "art").is_empty());
}

#[test]
fn references_beyond_the_limit_are_not_reported() {
    let reference = |n: usize| json!({"$ref": format!("#/allOf/{n}")});
    let mut all: Vec<Value> = (0..MAX_REFERENCES).map(reference).collect();
    all.push(json!({"$ref": "https://e.example/"}));
    let schema = json!({ "allOf": all });
    assert_eq!(SchemaPlaces::of(&schema).references.len(), MAX_REFERENCES);
    assert!(!has_unresolved(&schema));
}

#[test]
fn mc_06_an_output_schema_that_refers_elsewhere_is_left_out_and_its_tool_remains() {
    let elsewhere = json!({"type": "object", "$ref": "https://e.example/a.json"});
    let complete = json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {}}});
    let parsed = |input: &Value, output: &Value| {
        let tool = json!({"name": "t", "inputSchema": input, "outputSchema": output, "title": "T"});
        let limits = crate::definition::DefinitionLimits {
            bytes: 10_000,
            annotations: false,
        };
        let kind = crate::definition::DefinitionKind::Tool;
        let text = tool.to_string();
        let parsed = crate::definition::parse_definition(kind, text.as_bytes(), &limits).unwrap();
        let changed = parsed.json != text;
        (
            serde_json::from_str::<Value>(&parsed.json).unwrap(),
            changed,
        )
    };
    let (tool, _changed) = parsed(&elsewhere, &elsewhere);
    assert_eq!(
        tool,
        json!({"name": "t", "inputSchema": elsewhere, "title": "T"})
    );
    let (tool, changed) = parsed(&complete, &complete);
    assert!(!changed, "{tool}");
}
