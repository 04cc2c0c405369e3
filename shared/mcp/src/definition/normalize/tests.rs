//! Tests of the normalization of definitions.

use serde_json::{Value, json};

use crate::definition::{DefinitionError, DefinitionKind, DefinitionLimits, parse_definition};

fn parsed(kind: DefinitionKind, definition: &Value) -> Result<Value, String> {
    let json = definition.to_string();
    let parsed = parse_definition(kind, json.as_bytes(), &DefinitionLimits::default());
    match parsed {
        Ok(definition) => Ok(serde_json::from_str(&definition.json).unwrap()),
        Err(rejected) => Err(rejected.reason.to_string()),
    }
}

fn tool(members: &Value) -> Value {
    let mut tool = json!({"name": "t", "inputSchema": {"type": "object"}});
    for (name, value) in members.as_object().unwrap() {
        tool[name] = value.clone();
    }
    tool
}

#[test]
fn members_that_differ_from_those_of_the_schema_by_case_are_removed() {
    let variants = tool(&json!({
        "Name": "b", "DESCRIPTION": "x", "inputschema": {"type": "object"}, "Title": "T", "Icon\u{17f}": [],
        "annotations": {"title": "A", "Title": "B", "readonlyhint": true},
        "other": 1, "Other": 2,
    }));
    let expected = tool(&json!({ "annotations": {"title": "A"}, "other": 1, "Other": 2 }));
    assert_eq!(parsed(DefinitionKind::Tool, &variants), Ok(expected));
}

#[test]
fn null_members_count_as_absent() {
    let nulls = tool(&json!({
        "title": null, "description": null, "icons": null, "annotations": null, "_meta": null,
        "outputSchema": null, "execution": null,
    }));
    assert_eq!(parsed(DefinitionKind::Tool, &nulls), Ok(tool(&json!({}))));
    let nested = tool(&json!({
        "annotations": {"title": null, "readOnlyHint": null, "openWorldHint": true},
        "icons": [{"src": "https://a/b", "sizes": null, "theme": null, "mimeType": null}],
        "execution": {"taskSupport": null},
        "inputSchema": {"type": "object", "$schema": null, "properties": null, "required": null},
        "outputSchema": {"type": "object", "properties": null, "required": null},
        "_meta": {"of.the/server": null},
    }));
    let expected = tool(&json!({
        "annotations": {"openWorldHint": true},
        "icons": [{"src": "https://a/b"}],
        "execution": {},
        "outputSchema": {"type": "object"},
        "_meta": {"of.the/server": null},
    }));
    assert_eq!(parsed(DefinitionKind::Tool, &nested), Ok(expected));
    let prompt = json!({"name": "p", "title": null, "arguments": [
        {"name": "a", "title": null, "description": null, "required": null},
    ], "_meta": null});
    let expected = json!({"name": "p", "arguments": [{"name": "a"}]});
    assert_eq!(parsed(DefinitionKind::Prompt, &prompt), Ok(expected));
    let bare = json!({"name": "p", "arguments": null});
    assert_eq!(
        parsed(DefinitionKind::Prompt, &bare),
        Ok(json!({"name": "p"}))
    );
    let members = json!({
        "name": "r", "title": null, "description": null, "mimeType": null, "icons": null,
        "annotations": {"audience": null, "priority": null, "lastModified": null}, "_meta": null,
    });
    let mut resource = members.clone();
    resource["uri"] = "memo:r".into();
    resource["size"] = Value::Null;
    let expected = json!({"name": "r", "uri": "memo:r", "annotations": {}});
    assert_eq!(parsed(DefinitionKind::Resource, &resource), Ok(expected));
    let mut template = members;
    template["uriTemplate"] = "memo:{r}".into();
    let expected = json!({"name": "r", "uriTemplate": "memo:{r}", "annotations": {}});
    assert_eq!(parsed(DefinitionKind::Template, &template), Ok(expected));
}

#[test]
fn an_input_schema_without_a_type_describes_an_object() {
    let object = json!({"type": "object"});
    for (given, expected) in [
        (json!({}), object.clone()),
        (json!({"type": null}), object.clone()),
        (json!({"type": ["object"]}), object),
        (
            json!({"properties": {"a": true, "b": false, "c": {"type": "string"}}}),
            json!({"type": "object", "properties": {"a": {}, "b": {"not": {}}, "c": {"type": "string"}}}),
        ),
    ] {
        let definition = tool(&json!({"inputSchema": given}));
        let expected = tool(&json!({"inputSchema": expected}));
        assert_eq!(parsed(DefinitionKind::Tool, &definition), Ok(expected));
    }
}

#[test]
fn an_output_schema_of_any_value_stays_as_it_is() {
    for output in [
        json!({}),
        json!({"type": "string"}),
        json!({"type": ["object", "null"], "properties": {"a": true}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}),
    ] {
        let definition = tool(&json!({ "outputSchema": output }));
        assert_eq!(parsed(DefinitionKind::Tool, &definition), Ok(definition));
    }
}

#[test]
fn a_member_of_another_type_is_named_with_its_path() {
    for (members, message) in [
        (
            json!({"inputSchema": {"type": ["object", "null"]}}),
            "its `inputSchema.type` is not `object`",
        ),
        (
            json!({"inputSchema": {"type": "string"}}),
            "its `inputSchema.type` is not `object`",
        ),
        (
            json!({"inputSchema": {"type": "object", "properties": []}}),
            "its `inputSchema.properties` is not an object",
        ),
        (
            json!({"inputSchema": {"type": "object", "properties": {"a": null}}}),
            "its `inputSchema.properties` is not an object with a schema for each argument",
        ),
        (
            json!({"inputSchema": {"type": "object", "required": true}}),
            "its `inputSchema.required` is not a list",
        ),
        (
            json!({"inputSchema": {"required": ["a", 1]}}),
            "its `inputSchema.required[1]` is not a string",
        ),
        (
            json!({"inputSchema": {"$schema": 7}}),
            "its `inputSchema.$schema` is not a string",
        ),
        (
            json!({"outputSchema": true}),
            "its `outputSchema` is not an object",
        ),
        (json!({"title": 1}), "its `title` is not a string"),
        (
            json!({"description": ["a"]}),
            "its `description` is not a string",
        ),
        (
            json!({"annotations": {"readOnlyHint": "yes"}}),
            "its `annotations.readOnlyHint` is not true or false",
        ),
        (
            json!({"annotations": []}),
            "its `annotations` is not an object",
        ),
        (json!({"_meta": "x"}), "its `_meta` is not an object"),
        (
            json!({"execution": {"taskSupport": "maybe"}}),
            "its `execution.taskSupport` is not one of the values of the protocol",
        ),
        (
            json!({"icons": [{"sizes": []}]}),
            "its `icons[0].src` is not a string",
        ),
        (
            json!({"icons": [{"src": null}]}),
            "its `icons[0].src` is not a string",
        ),
        (json!({"icons": [null]}), "its `icons[0]` is not an object"),
        (
            json!({"icons": [{"src": "a"}, {"src": "a", "sizes": "48x48"}]}),
            "its `icons[1].sizes` is not a list",
        ),
    ] {
        let refused = parsed(DefinitionKind::Tool, &tool(&members));
        assert_eq!(refused, Err(message.to_owned()), "{members}");
    }
    let prompt = json!({"name": "p", "arguments": [{"name": "a"}, {"description": "b"}]});
    let refused = parsed(DefinitionKind::Prompt, &prompt);
    let message = "its `arguments[1].name` is not a string";
    assert_eq!(refused, Err(message.to_owned()));
}

#[test]
fn a_resource_that_strict_clients_reject_is_left_out() {
    let resource = |members: Value| {
        let mut resource = json!({"name": "r", "uri": "memo:r"});
        for (name, value) in members.as_object().unwrap() {
            resource[name] = value.clone();
        }
        parsed(DefinitionKind::Resource, &resource)
    };
    for valid in [
        json!({"size": 0}),
        json!({"annotations": {"audience": ["user"], "priority": 0.5, "lastModified": "2025-01-12T15:00:58Z"}}),
        json!({"annotations": {"priority": 1, "lastModified": "2024-02-29T23:59:59.123+05:30"}}),
    ] {
        assert!(resource(valid.clone()).is_ok(), "{valid}");
    }
    for wrong in [
        json!({"size": -1}),
        json!({"size": 1.5}),
        json!({"size": "1"}),
        json!({"mimeType": 1}),
        json!({"uri": "http://"}),
        json!({"uri": "http://a b/"}),
        json!({"uri": "x://[a"}),
        json!({"annotations": {"audience": "user"}}),
        json!({"annotations": {"audience": ["robot"]}}),
        json!({"annotations": {"priority": 1.1}}),
        json!({"annotations": {"priority": "high"}}),
        json!({"annotations": {"lastModified": "2025-01-12"}}),
        json!({"annotations": {"lastModified": "2025-01-12T15:00Z"}}),
        json!({"annotations": {"lastModified": "2025-01-12T15:00:58"}}),
        json!({"annotations": {"lastModified": "2025-02-29T15:00:58Z"}}),
        json!({"annotations": {"lastModified": "2025-01-12T15:00:58.Z"}}),
        json!({"annotations": {"lastModified": "2025-01-12T24:00:58Z"}}),
        json!({"annotations": {"lastModified": "2025-01-12T15:00:58+5:30"}}),
        json!({"annotations": {"lastModified": 1_736_694_058}}),
    ] {
        assert!(resource(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn two_forms_of_the_same_definition_have_the_same_digest() {
    let digest = |definition: &str| {
        let parsed = parse_definition(
            DefinitionKind::Tool,
            definition.as_bytes(),
            &DefinitionLimits::default(),
        );
        parsed.unwrap().digest
    };
    assert_eq!(
        digest(r#"{"name":"t","title":null,"inputSchema":{}}"#),
        digest(r#"{"name":"t","inputSchema":{"type":"object"}}"#),
    );
}

#[test]
fn a_missing_schema_of_arguments_is_not_invented() {
    for definition in [
        json!({"name": "t"}),
        json!({"name": "t", "inputSchema": null}),
        json!({"name": "t", "inputSchema": true}),
    ] {
        let refused = parsed(DefinitionKind::Tool, &definition);
        assert_eq!(refused, Err(DefinitionError::Schema.to_string()));
    }
}
