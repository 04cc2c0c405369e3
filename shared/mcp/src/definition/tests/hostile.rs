//! Tests with definitions of malicious servers, by row of the threat table.

use serde_json::{Value, json};

use super::{super::*, page, taken};

/// Characters that a terminal or a reader does not show as they are.
const DECEPTIVE: &[&str] = &[
    "\u{1b}[31m",
    "\u{1b}]0;x\u{7}",
    "\u{9b}2J",
    "\u{7f}",
    "\u{0}",
    "\r",
    "\u{8}",
    "\u{200b}",
    "\u{200e}",
    "\u{202a}",
    "\u{202e}",
    "\u{2066}",
    "\u{2069}",
    "\u{2060}",
    "\u{feff}",
    "\u{ad}",
    "\u{61c}",
    "\u{e0001}",
    "\u{e0041}",
    "\u{e007f}",
];

/// Names with characters that a tool name must not have.
const FOREIGN: &[&str] = &[
    "\u{430}dmin",
    "p\u{430}ypal",
    "\u{ff41}dmin",
    "e\u{301}cho",
    "\u{e9}cho",
    "\u{1d41a}dmin",
    "\u{212a}ey",
    "\u{17f}end",
    "a b",
    "a/b",
    "a:b",
    "a\\b",
    "a$b",
    "a\u{2024}b",
    "a\u{ff3f}b",
    "\u{2010}a",
];

/// Places twenty deceptive characters in names of tools, prompts and resources, and in texts: a hundred strings.
#[test]
fn mc_03_deceptive_names_are_rejected_and_texts_flagged() {
    for bad in DECEPTIVE {
        let name = format!("ad{bad}min");
        let (names, reasons) = taken(
            DefinitionKind::Tool,
            &json!([{"name": name, "inputSchema": {}}]),
        );
        assert_eq!(
            (names.len(), reasons),
            (0, vec![DefinitionError::Name]),
            "{name:?}"
        );
        let (names, reasons) = taken(DefinitionKind::Prompt, &json!([{"name": name}]));
        assert_eq!(
            (names.len(), reasons),
            (0, vec![DefinitionError::Name]),
            "{name:?}"
        );
        let uri = format!("memo:{name}");
        for kind in [DefinitionKind::Resource, DefinitionKind::Template] {
            let (uris, reasons) = taken(kind, &json!([{ kind.key(): uri, "name": "m" }]));
            assert_eq!(
                (uris.len(), reasons),
                (0, vec![DefinitionError::Uri]),
                "{uri:?}"
            );
        }
        let tool =
            json!({"name": "it", "inputSchema": {}, "description": format!("read {bad} me")});
        let page = page(&json!([tool]));
        let flagged = *bad != "\r";
        assert_eq!(
            (page.accepted.len(), page.with_deceptive_text.len()),
            (1, usize::from(flagged)),
            "{bad:?}"
        );
    }
    // Homoglyphs, mixed scripts, full-width forms, accents, other alphabets: such a tool is exposed under another name.
    for name in FOREIGN {
        let tool = json!([{"name": name, "inputSchema": {}}]);
        let (names, reasons) = taken(DefinitionKind::Tool, &tool);
        assert_eq!((names.len(), reasons), (1, vec![]), "{name:?}");
        assert!(!is_recommended_tool_name(name), "{name:?}");
    }
    let (longest, longer) = ("x".repeat(128), "x".repeat(129));
    assert!(is_recommended_tool_name(&longest) && !is_recommended_tool_name(&longer));
    assert!(!is_recommended_tool_name(""));
    let nested = json!({"properties": {"a": {"description": "x\u{202e}y"}}});
    assert_eq!(
        page(&json!([{"name": "deep", "inputSchema": nested}])).with_deceptive_text,
        ["deep"]
    );
}

/// Texts of an accepted definition that clients display hold no deceptive character.
#[test]
fn mc_03_deceptive_characters_in_displayed_texts_are_escaped() {
    for bad in DECEPTIVE.iter().filter(|bad| **bad != "\r") {
        let text = format!("read {bad} me");
        let tool = json!({
            "name": "it", "title": text, "description": text, "annotations": {"title": text},
            "inputSchema": {"type": "object", "properties": {"a": {"description": text}}},
        });
        let prompt = json!({
            "name": "it", "title": text, "description": text,
            "arguments": [{"name": "a", "title": text, "description": text}],
        });
        let resource = json!({"uri": "memo:x", "name": text, "title": text, "description": text});
        let template =
            json!({"uriTemplate": "memo:{x}", "name": text, "title": text, "description": text});
        for (kind, definition) in [
            (DefinitionKind::Tool, tool),
            (DefinitionKind::Prompt, prompt),
            (DefinitionKind::Resource, resource),
            (DefinitionKind::Template, template),
        ] {
            let mut collector = DefinitionCollector::new(kind, DefinitionLimits::default());
            let page = json!({ kind.list(): [definition] }).to_string();
            assert_eq!(collector.add_page(page.as_bytes(), 10), Ok(true));
            let list = collector.finish();
            assert_eq!(list.with_deceptive_text.len(), 1, "{bad:?}");
            let json = &list.accepted[0].json;
            assert!(
                !deceptive_text::contained_in_json(json.as_bytes()),
                "{json}"
            );
        }
    }
}

/// Escapes are longer than the characters that they show; the limit holds for the result.
#[test]
fn mc_03_escapes_count_for_the_size_limit_of_a_definition() {
    let limits = DefinitionLimits {
        bytes: 1000,
        annotations: true,
    };
    let parse = |count: usize| {
        let text = "\u{7f}".repeat(count);
        let tool = json!({"name": "it", "inputSchema": {"type": "object"}, "description": text});
        parse_definition(DefinitionKind::Tool, tool.to_string().as_bytes(), &limits)
    };
    assert!(parse(100).unwrap().json.len() > 700);
    assert_eq!(
        parse(200).unwrap_err().reason,
        DefinitionError::TooLarge(1000)
    );
}

/// Tools with invalid `x-mcp-header` annotations are left out one by one. Values that could end a header are encoded.
#[test]
fn mc_09_tools_with_invalid_header_annotations_are_left_out_alone() {
    let bad: Vec<Value> = [
        json!(""), json!(1), json!(null), json!({}), json!(["A"]), json!("a b"), json!("a\r\nx: y"), json!("a:b"),
        json!("a\u{0}"), json!("\u{e9}"), json!("a\n"), json!("a,b"), json!("(a)"), json!("\u{200b}"),
    ]
    .into_iter()
    .map(|header| json!({"properties": {"p": {"type": "string", "x-mcp-header": header}}}))
    .chain(["number", "object", "array", "null"].map(|kind| {
        json!({"properties": {"p": {"type": kind, "x-mcp-header": "P"}}})
    }))
    .chain([
        json!({"properties": {"p": {"x-mcp-header": "P"}}}),
        json!({"properties": {"p": {"type": "string", "x-mcp-header": "P"}, "q": {"type": "string", "x-mcp-header": "p"}}}),
        json!({"properties": {"p": {"type": "array", "items": {"type": "string", "x-mcp-header": "P"}}}}),
    ])
    .collect();
    let mut tools = vec![json!({"name": "first", "inputSchema": {}})];
    tools.extend(
        bad.iter()
            .enumerate()
            .map(|(n, schema)| json!({"name": format!("bad{n}"), "inputSchema": schema})),
    );
    let good = json!({"properties": {"p": {"type": "string", "x-mcp-header": "P"}}});
    tools.push(json!({"name": "last", "inputSchema": good}));
    let (names, reasons) = taken(DefinitionKind::Tool, &json!(tools));
    assert_eq!(names, ["first", "last"], "{reasons:?}");
    assert_eq!(reasons.len(), bad.len());
    assert!(
        reasons
            .iter()
            .all(|reason| matches!(reason, DefinitionError::Header(_))),
        "{reasons:?}"
    );
    let annotations = HeaderAnnotations::of_schema(good.to_string().as_bytes()).unwrap();
    for value in [
        "a\r\nx-evil: 1",
        "a\nb",
        "\r",
        "\u{0}",
        " a",
        "\u{e9}",
        "=?base64?YQ==?=",
        "a\u{7f}",
    ] {
        let arguments = json!({"p": value}).to_string();
        let headers = annotations.mirror(arguments.as_bytes());
        let [(name, sent)] = &headers[..] else {
            panic!("{headers:?}")
        };
        assert_eq!(*name, "mcp-param-p");
        assert!(
            sent.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{sent:?}"
        );
        let read = crate::headers::decode(sent.as_bytes());
        assert_eq!(read.as_deref(), Some(value));
    }
}

/// Values that programs compare are kept, and are a problem of the server of their own.
#[test]
fn mc_03_deceptive_characters_in_names_and_values_are_named_and_kept() {
    let hidden = "a\u{200b}\u{e0041}";
    for schema in [
        json!({"properties": {"a": {"default": hidden}}}),
        json!({"properties": {"a": {"enum": ["b", hidden]}}}),
        json!({"properties": {"a": {"const": hidden}}}),
        json!({"properties": {"a": {"pattern": hidden}}}),
        json!({"properties": {"a": {"default": {"title": hidden}}}}),
        json!({"properties": { hidden: {} }}),
        json!({"patternProperties": { hidden: {} }}),
        json!({"required": [hidden]}),
        json!({"$defs": {"a": {"anyOf": [{"items": {"pattern": hidden}}]}}}),
        json!({"vendor": [hidden]}),
    ] {
        let mut schema = schema;
        schema["type"] = json!("object");
        for member in ["inputSchema", "outputSchema", "_meta"] {
            let mut tool = json!({"name": "t", "inputSchema": {"type": "object"}});
            tool[member] = schema.clone();
            let page = page(&json!([tool]));
            let read: Value = serde_json::from_str(&page.accepted[0].json).unwrap();
            assert_eq!(read, tool);
            assert_eq!(page.with_deceptive_values, ["t"], "{tool}");
            assert!(page.with_deceptive_text.is_empty(), "{tool}");
        }
    }
    let texts = json!([{"name": "t", "inputSchema": {"type": "object", "$comment": hidden, "properties":
        {"title": {"examples": ["b", hidden], "title": hidden}}}}]);
    let page = page(&texts);
    assert!(page.with_deceptive_values.is_empty());
    assert_eq!(page.with_deceptive_text, ["t"]);
}

/// A text is shown as escapes at every depth at which a definition is kept.
#[test]
fn mc_03_no_depth_hides_deceptive_characters_in_texts() {
    for depth in 1..=30 {
        let mut schema = json!({"title": "a\u{202e}", "description": "b\u{200b}"});
        for _ in 0..depth {
            schema = json!({"properties": {"a": schema}});
        }
        schema["type"] = json!("object");
        let tool = json!({"name": "t", "inputSchema": schema}).to_string();
        let read = parse_definition(
            DefinitionKind::Tool,
            tool.as_bytes(),
            &DefinitionLimits::default(),
        );
        let json = read.unwrap().json;
        assert!(
            !deceptive_text::contained_in_json(json.as_bytes()),
            "{depth}"
        );
    }
}
