//! Tests of definition validation.

use serde_json::{Value, json};

use super::*;

mod hostile;

fn page(tools: &Value) -> Page {
    let mut collector = Collector::new(
        Kind::Tool,
        DefinitionLimits {
            bytes: 300,
            annotations: true,
        },
    );
    assert_eq!(
        collector.take(json!({ "tools": tools }).to_string().as_bytes(), 100),
        Ok(true)
    );
    collector.finish()
}

#[test]
fn good_tools_are_kept_byte_for_byte_and_in_order() {
    let text = r#"{"tools":[ {"inputSchema": {"$anchor":"x"},  "name":"b", "z":1.0}, {"name":"a","inputSchema":{}}]}"#;
    let mut collector = Collector::new(Kind::Tool, DefinitionLimits::default());
    assert_eq!(collector.take(text.as_bytes(), 10), Ok(true));
    let page = collector.finish();
    assert_eq!(
        page.taken[0].json,
        r#"{"inputSchema": {"$anchor":"x"},  "name":"b", "z":1.0}"#
    );
    assert_eq!(page.taken[1].name, "a");
    let same = normalise(
        Kind::Tool,
        br#"{"name":"b","z":1.0,"inputSchema":{"$anchor":"x"}}"#,
        &DefinitionLimits::default(),
    );
    assert_eq!(same.unwrap().digest, page.taken[0].digest);
}

#[test]
fn bad_tools_are_left_out_and_named() {
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
    let names: Vec<&str> = page.taken.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["ok", "good-2"]);
    let reasons: Vec<&Unfit> = page.refused.iter().map(|refused| &refused.reason).collect();
    assert_eq!(reasons[0], &Unfit::Repeated);
    assert_eq!(reasons[1..5], [&Unfit::Name; 4]);
    assert_eq!(reasons[5], &Unfit::TooLarge(300));
    assert_eq!(reasons[6], &Unfit::Schema);
    assert_eq!(reasons[7..9], [&Unfit::Shape; 2]);
    assert!(matches!(reasons[9], Unfit::Header(_)));
    assert!(
        page.refused
            .iter()
            .all(|refused| refused.name.is_ascii() && !refused.name.contains('\u{1b}'))
    );
}

#[test]
fn duplicates_inside_a_definition_are_refused() {
    let bad = br#"{"name":"a","inputSchema":{},"description":"nice","d\u0065scription":"evil"}"#;
    let refused = normalise(Kind::Tool, bad, &DefinitionLimits::default()).unwrap_err();
    assert_eq!(refused.reason, Unfit::Malformed(crate::Reason::Duplicate));
}

#[test]
fn the_room_is_kept_over_pages() {
    let result = json!({ "tools": [{ "name": "a", "inputSchema": {} }, { "name": "b", "inputSchema": {} }] }).to_string();
    let mut collector = Collector::new(Kind::Tool, DefinitionLimits::default());
    assert_eq!(collector.take(result.as_bytes(), 3), Ok(true));
    let more = result.replace("\"a\"", "\"c\"").replace("\"b\"", "\"d\"");
    assert_eq!(collector.take(more.as_bytes(), 3), Ok(false));
    assert_eq!(collector.len(), 3);
    assert_eq!(collector.take(b"{}", 3), Err(NotAPage));
    assert_eq!(collector.take(br#"{"tools":{}}"#, 3), Err(NotAPage));
}

fn taken(kind: Kind, list: &Value) -> (Vec<String>, Vec<Unfit>) {
    let mut collector = Collector::new(kind, DefinitionLimits::default());
    let result = json!({ kind.list(): list }).to_string();
    assert_eq!(collector.take(result.as_bytes(), 100), Ok(true));
    let Page { taken, refused, .. } = collector.finish();
    (
        taken.into_iter().map(|it| it.name).collect(),
        refused.into_iter().map(|it| it.reason).collect(),
    )
}

#[test]
fn prompts_are_taken_by_name_and_strict_clients_are_spared() {
    let (names, reasons) = taken(
        Kind::Prompt,
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
        Unfit::Repeated,
        Unfit::PromptName,
        Unfit::PromptName,
        Unfit::Arguments,
        Unfit::Shape,
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn resources_are_taken_by_absolute_uri_and_templates_by_theirs() {
    let (uris, reasons) = taken(
        Kind::Resource,
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
    let mut wanted = vec![Unfit::Repeated];
    wanted.extend([Unfit::Uri, Unfit::Uri, Unfit::Uri, Unfit::Uri]);
    wanted.extend([Unfit::Shape, Unfit::Key("uri")]);
    assert_eq!(reasons, wanted);
    let (templates, reasons) = taken(
        Kind::Template,
        &json!([
            { "uriTemplate": "file:///{path}", "name": "files" },
            { "uriTemplate": "{+url}", "name": "any" },
            { "uriTemplate": "", "name": "none" },
        ]),
    );
    assert_eq!(templates, ["file:///{path}", "{+url}"]);
    assert_eq!(reasons, [Unfit::Uri]);
}
