//! A server whose lists hold definitions that strict clients reject, next to valid ones. Some have a harmless
//! deviation, which the gateway normalizes; the others are left out.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method};

/// Tools that are listed, in this order.
pub const LISTED_TOOLS: &[&str] = &[
    "valid",
    "empty_schema",
    "untyped_schema",
    "listed_type",
    "null_members",
    "null_in_annotations",
    "null_in_icon",
    "boolean_property",
    "any_output",
    UNUSUAL_TOOL.1,
];

/// Tool whose name some clients do not take, and the name that it is exposed under.
pub const UNUSUAL_TOOL: (&str, &str) = ("read a file", "read_a_file_983f9295");

/// Tools that are left out, each with the member that is the reason.
pub const REJECTED_TOOLS: &[(&str, &str)] = &[
    ("nullable_arguments", "inputSchema.type"),
    ("no_schema", "inputSchema"),
    ("null_schema", "inputSchema"),
    ("text_title", "title"),
    ("icon_sizes", "icons[0].sizes"),
    ("text_hint", "annotations.readOnlyHint"),
    ("listed_meta", "_meta"),
    ("required_flag", "inputSchema.required"),
    ("boolean_output", "outputSchema"),
];

/// Prompts, resources and templates that are listed.
pub const LISTED_PROMPTS: &[&str] = &["valid", "null_arguments", "null_required"];
/// Resources that are listed.
pub const LISTED_RESOURCES: &[&str] = &["memo:valid", "memo:nulls"];
/// Resource templates that are listed.
pub const LISTED_TEMPLATES: &[&str] = &["memo:{valid}", "memo:{nulls}"];

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct MalformedServer(ScriptedServer);

impl MalformedServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        let answer = |message| std::future::ready(answer(&message));
        ScriptedServer::start(answer).await.map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn answer(message: &Value) -> ScriptedAnswer {
    ScriptedAnswer::Result(match method(message) {
        "server/discover" => {
            return discovered(&json!({"tools": {}, "prompts": {}, "resources": {}}));
        }
        "tools/list" => json!({"tools": tools()}),
        "tools/call" => {
            let name = message["params"]["name"].as_str();
            json!({"content": [{"type": "text", "text": name.unwrap_or_default()}]})
        }
        "prompts/list" => json!({"prompts": prompts()}),
        "resources/list" => json!({"resources": resources("uri", "memo:valid", "memo:nulls")}),
        "resources/templates/list" => {
            json!({"resourceTemplates": resources("uriTemplate", "memo:{valid}", "memo:{nulls}")})
        }
        _ => return ScriptedAnswer::Accepted,
    })
}

/// Returns a tool with an object schema and these members on top.
fn tool(name: &str, members: &Value) -> Value {
    let mut tool = Map::new();
    tool.insert("name".to_owned(), json!(name));
    tool.insert("inputSchema".to_owned(), json!({"type": "object"}));
    tool.extend(members.as_object().cloned().unwrap_or_default());
    Value::Object(tool)
}

fn tools() -> Vec<Value> {
    let mut tools = vec![
        tool("valid", &json!({"description": "Does nothing"})),
        tool(UNUSUAL_TOOL.0, &json!({})),
        tool("empty_schema", &json!({"inputSchema": {}})),
        tool(
            "untyped_schema",
            &json!({"inputSchema": {"properties": {"a": {"type": "string"}}}}),
        ),
        tool(
            "listed_type",
            &json!({"inputSchema": {"type": ["object"], "required": null}}),
        ),
        tool(
            "null_members",
            &json!({"title": null, "description": null, "icons": null, "annotations": null,
                "outputSchema": null, "execution": null, "_meta": null}),
        ),
        tool(
            "null_in_annotations",
            &json!({"annotations": {"title": null, "readOnlyHint": null}}),
        ),
        tool(
            "null_in_icon",
            &json!({"icons": [{"src": "https://a/b.png", "sizes": null, "mimeType": null}]}),
        ),
        tool(
            "boolean_property",
            &json!({"inputSchema": {"type": "object", "properties": {"a": true}}}),
        ),
        tool(
            "any_output",
            &json!({"outputSchema": {"type": ["object", "null"]}}),
        ),
        tool(
            "nullable_arguments",
            &json!({"inputSchema": {"type": ["object", "null"]}}),
        ),
        json!({"name": "no_schema"}),
        tool("null_schema", &json!({"inputSchema": null})),
        tool("text_title", &json!({"title": 7})),
        tool(
            "icon_sizes",
            &json!({"icons": [{"src": "https://a/b.png", "sizes": "48x48"}]}),
        ),
        tool(
            "text_hint",
            &json!({"annotations": {"readOnlyHint": "yes"}}),
        ),
        tool("listed_meta", &json!({"_meta": []})),
    ];
    tools.push(tool(
        "required_flag",
        &json!({"inputSchema": {"type": "object", "required": true}}),
    ));
    tools.push(tool("boolean_output", &json!({"outputSchema": true})));
    tools
}

fn prompts() -> Value {
    json!([
        {"name": "valid", "arguments": [{"name": "a", "required": true}]},
        {"name": "null_arguments", "arguments": null, "title": null},
        {"name": "null_required", "arguments": [{"name": "a", "required": null, "description": null}]},
        {"name": "nameless_argument", "arguments": [{"description": "a"}]},
        {"name": "text_required", "arguments": [{"name": "a", "required": "yes"}]},
    ])
}

fn resources(key: &str, valid: &str, nulls: &str) -> Value {
    let with_key = |uri: &str, members: Value| {
        let mut resource = members;
        resource["name"] = json!("r");
        resource[key] = json!(uri);
        resource
    };
    let template = |uri: &str| format!("{uri}{}", if key == "uri" { "" } else { "{x}" });
    json!([
        with_key(valid, json!({"mimeType": "text/plain"})),
        with_key(
            nulls,
            json!({"title": null, "mimeType": null, "description": null, "size": null, "icons": null,
                "_meta": null, "annotations": {"audience": null, "lastModified": null}})
        ),
        with_key(
            &template("memo:date"),
            json!({"annotations": {"lastModified": "yesterday"}})
        ),
        with_key(
            &template("memo:priority"),
            json!({"annotations": {"priority": 7}})
        ),
        with_key(&template("memo:type"), json!({"mimeType": ["text/plain"]})),
    ])
}
