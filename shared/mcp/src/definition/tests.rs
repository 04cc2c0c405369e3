//! Tests of definition validation.

use serde_json::{Value, json};

use super::*;

mod hostile;

fn page(tools: &Value) -> DefinitionList {
    let mut collector = DefinitionCollector::new(
        DefinitionKind::Tool,
        DefinitionLimits {
            bytes: 300,
            annotations: true,
        },
    );
    assert_eq!(
        collector.add_page(json!({ "tools": tools }).to_string().as_bytes(), 100),
        Ok(true)
    );
    collector.finish()
}

#[test]
fn valid_tools_are_kept_byte_for_byte_and_in_order() {
    let text = r#"{"tools":[ {"inputSchema": {"type":"object"},  "name":"b", "z":1.0}, {"name":"a","inputSchema":{}}]}"#;
    let mut collector = DefinitionCollector::new(DefinitionKind::Tool, DefinitionLimits::default());
    assert_eq!(collector.add_page(text.as_bytes(), 10), Ok(true));
    let page = collector.finish();
    assert_eq!(
        page.accepted[0].json,
        r#"{"inputSchema": {"type":"object"},  "name":"b", "z":1.0}"#
    );
    assert_eq!(page.accepted[1].name, "a");
    let same = parse_definition(
        DefinitionKind::Tool,
        br#"{"name":"b","z":1.0,"inputSchema":{"type":"object"}}"#,
        &DefinitionLimits::default(),
    );
    assert_eq!(same.unwrap().digest, page.accepted[0].digest);
}

#[test]
fn invalid_tools_are_left_out_and_named() {
    let long = "x".repeat(300);
    let page = page(&json!([
        { "name": "ok", "inputSchema": {} },
        { "name": "ok", "inputSchema": {} },
        { "name": "sp ace", "inputSchema": {} },
        { "name": "аdmin", "inputSchema": {} },
        { "name": "", "inputSchema": {} },
        { "name": "x\u{1b}[31m", "inputSchema": {} },
        { "name": "long", "inputSchema": {}, "description": long },
        { "name": "schema", "inputSchema": null },
        { "name": 3, "inputSchema": {} },
        "text",
        { "name": "header", "inputSchema": { "properties": { "a": { "type": "number", "x-mcp-header": "A" } } } },
        { "name": "good-2", "inputSchema": {} },
    ]));
    let names: Vec<&str> = page
        .accepted
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["ok", "sp ace", "аdmin", "good-2"]);
    let reasons: Vec<&DefinitionError> = page
        .rejected
        .iter()
        .map(|refused| &refused.reason)
        .collect();
    assert_eq!(reasons[0], &DefinitionError::Repeated);
    assert_eq!(reasons[1..3], [&DefinitionError::Name; 2]);
    assert_eq!(reasons[3], &DefinitionError::TooLarge(300));
    assert_eq!(reasons[4], &DefinitionError::Schema);
    assert_eq!(reasons[5..7], [&DefinitionError::Shape; 2]);
    assert!(matches!(reasons[7], DefinitionError::Header(_)));
    assert!(
        page.rejected
            .iter()
            .all(|refused| refused.name.is_ascii() && !refused.name.contains('\u{1b}'))
    );
}

#[test]
fn duplicate_names_inside_a_definition_are_rejected() {
    let bad = br#"{"name":"a","inputSchema":{},"description":"nice","d\u0065scription":"evil"}"#;
    let refused =
        parse_definition(DefinitionKind::Tool, bad, &DefinitionLimits::default()).unwrap_err();
    assert_eq!(
        refused.reason,
        DefinitionError::Malformed(crate::FrameErrorKind::Duplicate)
    );
}

#[test]
fn the_definition_limit_spans_pages() {
    let result = json!({ "tools": [{ "name": "a", "inputSchema": {} }, { "name": "b", "inputSchema": {} }] }).to_string();
    let mut collector = DefinitionCollector::new(DefinitionKind::Tool, DefinitionLimits::default());
    assert_eq!(collector.add_page(result.as_bytes(), 3), Ok(true));
    let more = result.replace("\"a\"", "\"c\"").replace("\"b\"", "\"d\"");
    assert_eq!(collector.add_page(more.as_bytes(), 3), Ok(false));
    assert_eq!(collector.len(), 3);
    assert_eq!(collector.add_page(b"{}", 3), Err(InvalidPage));
    assert_eq!(collector.add_page(br#"{"tools":{}}"#, 3), Err(InvalidPage));
}

fn taken(kind: DefinitionKind, list: &Value) -> (Vec<String>, Vec<DefinitionError>) {
    let mut collector = DefinitionCollector::new(kind, DefinitionLimits::default());
    let result = json!({ kind.list(): list }).to_string();
    assert_eq!(collector.add_page(result.as_bytes(), 100), Ok(true));
    let DefinitionList {
        accepted: taken,
        rejected: refused,
        ..
    } = collector.finish();
    (
        taken.into_iter().map(|it| it.name).collect(),
        refused.into_iter().map(|it| it.reason).collect(),
    )
}

#[test]
fn prompts_need_a_unique_valid_name_and_an_argument_array() {
    let (names, reasons) = taken(
        DefinitionKind::Prompt,
        &json!([
            { "name": "ask me", "arguments": [{ "name": "what" }] },
            { "name": "bare" },
            { "name": "bare" },
            { "name": "a\nb" },
            { "name": "" },
            { "name": "odd", "arguments": {} },
            { "title": "nobody" },
        ]),
    );
    assert_eq!(names, ["ask me", "bare"]);
    let wanted = [
        DefinitionError::Repeated,
        DefinitionError::Name,
        DefinitionError::Name,
        DefinitionError::Member(MistypedMember {
            path: "arguments".to_owned(),
            expected: "a list",
        }),
        DefinitionError::Shape,
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn resources_and_templates_need_an_absolute_uri() {
    let (uris, reasons) = taken(
        DefinitionKind::Resource,
        &json!([
            { "uri": "file:///a b", "name": "a" },
            { "uri": "memo:x", "name": "memo" },
            { "uri": "file:///a b", "name": "again" },
            { "uri": "/relative", "name": "r" },
            { "uri": "1up:x", "name": "digit" },
            { "uri": "file:///a\r\nb", "name": "split" },
            { "uri": format!("file:///{}", "x".repeat(MAX_URI)), "name": "long" },
            { "uri": "file:///nameless" },
            { "name": "no uri" },
        ]),
    );
    assert_eq!(uris, ["file:///a b", "memo:x"]);
    let mut wanted = vec![DefinitionError::Repeated];
    wanted.extend([
        DefinitionError::Uri,
        DefinitionError::Uri,
        DefinitionError::Uri,
        DefinitionError::Uri,
    ]);
    wanted.extend([DefinitionError::Shape, DefinitionError::Key("uri")]);
    assert_eq!(reasons, wanted);
    let (templates, reasons) = taken(
        DefinitionKind::Template,
        &json!([
            { "uriTemplate": "file:///{path}", "name": "files" },
            { "uriTemplate": "{+url}", "name": "any" },
            { "uriTemplate": "", "name": "none" },
        ]),
    );
    assert_eq!(templates, ["file:///{path}", "{+url}"]);
    assert_eq!(reasons, [DefinitionError::Uri]);
}
