//! Tests of mirrored arguments.

use serde_json::json;

use super::*;

fn of(schema: &Value) -> Result<HeaderAnnotations, InvalidAnnotation> {
    HeaderAnnotations::of_schema(schema.to_string().as_bytes())
}

fn schema() -> Value {
    json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
        "on": { "type": "boolean", "x-mcp-header": "On" },
        "x-mcp-header": { "type": "string" },
    } })
}

#[test]
fn annotated_arguments_are_mirrored_into_headers() {
    let annotations = of(&schema()).unwrap();
    let mut headers = annotations.mirror(br#"{"region":" eu","deep":{"n":42},"on":null}"#);
    headers.sort();
    let pairs: Vec<_> = headers.iter().map(|(h, v)| (*h, v.as_str())).collect();
    assert_eq!(
        pairs,
        [
            ("mcp-param-n", "42"),
            ("mcp-param-region", "=?base64?IGV1?=")
        ]
    );
}

#[test]
fn headers_are_checked_against_arguments() {
    let annotations = of(&schema()).unwrap();
    let arguments = br#"{"region":"eu","deep":{"n":42},"on":true}"#;
    let check = |n: &'static str, on: ReceivedHeader<'static>| {
        annotations.check(arguments, |header| match header {
            "mcp-param-region" => ReceivedHeader::Once(b"eu"),
            "mcp-param-n" => ReceivedHeader::Once(n.as_bytes()),
            _ => on,
        })
    };
    assert!(check("42", ReceivedHeader::Once(b"true")).is_ok());
    assert!(check("0042", ReceivedHeader::Once(b"true")).is_ok());
    assert_eq!(
        check("43", ReceivedHeader::Once(b"true"))
            .unwrap_err()
            .problem,
        HeaderProblem::Differs
    );
    assert_eq!(
        check("42", ReceivedHeader::Absent).unwrap_err().problem,
        HeaderProblem::Missing
    );
    assert_eq!(
        check("42", ReceivedHeader::Repeated).unwrap_err().problem,
        HeaderProblem::Repeated
    );
    let unexpected = annotations.check(b"{}", |_| ReceivedHeader::Once(b"x"));
    assert_eq!(unexpected.unwrap_err().problem, HeaderProblem::Differs);
}

#[test]
fn invalid_annotations_are_distinct_errors() {
    let property = |p: Value| of(&json!({ "properties": { "a": p } })).unwrap_err();
    assert_eq!(
        property(json!({ "type": "string", "x-mcp-header": "" })),
        InvalidAnnotation::NotToken
    );
    assert_eq!(
        property(json!({ "type": "string", "x-mcp-header": "a\r\nb: c" })),
        InvalidAnnotation::NotToken
    );
    assert_eq!(
        property(json!({ "type": "string", "x-mcp-header": 1 })),
        InvalidAnnotation::NotText
    );
    assert_eq!(
        property(json!({ "type": "number", "x-mcp-header": "A" })),
        InvalidAnnotation::Type
    );
    assert_eq!(
        property(json!({ "x-mcp-header": "A" })),
        InvalidAnnotation::Type
    );
    let item = json!({ "type": "array", "items": { "type": "string", "x-mcp-header": "A" } });
    assert_eq!(property(item), InvalidAnnotation::Location);
    let either =
        json!({ "anyOf": [{ "properties": { "b": { "type": "string", "x-mcp-header": "A" } } }] });
    assert_eq!(property(either), InvalidAnnotation::Location);
    let twice = json!({ "properties": {
        "a": { "type": "string", "x-mcp-header": "A" }, "b": { "type": "string", "x-mcp-header": "a" } } });
    assert_eq!(of(&twice).unwrap_err(), InvalidAnnotation::Repeated);
    let escaped = br#"{"properties":{"a":{"type":"number","x-mcp-h\u0065ader":"A"}}}"#;
    assert_eq!(
        HeaderAnnotations::of_schema(escaped).unwrap_err(),
        InvalidAnnotation::Type
    );
}

#[test]
fn schema_values_are_not_read_as_schemas() {
    let schema = json!({ "properties": { "a": { "default": { "x-mcp-header": "" }, "enum": [{ "x-mcp-header": 1 }] } } });
    assert!(of(&schema).unwrap().is_empty());
}
