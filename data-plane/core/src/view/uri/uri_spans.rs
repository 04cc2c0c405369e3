//! Positions of URIs in messages of servers. Only structured members are searched, never free text or blobs. A span is
//! relative to the start of the given object and covers a JSON string with its quotes.

use toolgate_mcp::{
    ByteSpan,
    object::{self, ObjectMember},
};

/// Members with the URI of an MCP Apps page. The second is the earlier name.
const APP_URI_PATHS: [&[&str]; 2] = [
    &["_meta", "ui", "resourceUri"],
    &["_meta", "ui/resourceUri"],
];

/// Positions in a tool definition.
pub fn of_definition(tool: &[u8]) -> Vec<ByteSpan> {
    app_uris(tool)
}

/// Positions in a tool result.
pub fn of_tool(result: &[u8]) -> Vec<ByteSpan> {
    let mut found = app_uris(result);
    for block in items(result, "content") {
        content(result, block, &mut found);
    }
    found
}

/// Positions in the state of a task: those of the tool's result, once there is one.
pub fn of_task(result: &[u8]) -> Vec<ByteSpan> {
    let whole = ByteSpan::new(0, result.len());
    let Some(held) = value_at(result, whole, &["result"]) else {
        return Vec::new();
    };
    let found = of_tool(held.of(result)).into_iter();
    found.map(|span| offset_span(span, held)).collect()
}

/// Positions in a prompt result.
pub fn of_prompt(result: &[u8]) -> Vec<ByteSpan> {
    let mut found = Vec::new();
    for message in items(result, "messages") {
        let Some(held) = value_at(result, message, &["content"]) else {
            continue;
        };
        if held.of(result).starts_with(b"[") {
            for block in object::elements(held.of(result)) {
                content(result, offset_span(block, held), &mut found);
            }
        } else {
            content(result, held, &mut found);
        }
    }
    found
}

/// Positions in the result of `resources/read`.
pub fn of_read(result: &[u8]) -> Vec<ByteSpan> {
    let contents = items(result, "contents").into_iter();
    contents
        .filter_map(|item| string_at(result, item, &["uri"]))
        .collect()
}

/// Positions in one content block.
fn content(source: &[u8], block: ByteSpan, found: &mut Vec<ByteSpan>) {
    let kind = value_at(source, block, &["type"]);
    let kind = kind.and_then(|kind| serde_json::from_slice::<String>(kind.of(source)).ok());
    found.extend(match kind.as_deref() {
        Some("resource_link") => string_at(source, block, &["uri"]),
        Some("resource") => string_at(source, block, &["resource", "uri"]),
        Some(_) | None => None,
    });
}

fn app_uris(object: &[u8]) -> Vec<ByteSpan> {
    let whole = ByteSpan::new(0, object.len());
    let paths = APP_URI_PATHS.into_iter();
    paths
        .filter_map(|path| string_at(object, whole, path))
        .collect()
}

/// Spans of the elements of an array that is a member of `object`.
fn items(object: &[u8], member: &str) -> Vec<ByteSpan> {
    let whole = ByteSpan::new(0, object.len());
    let Some(array) = value_at(object, whole, &[member]) else {
        return Vec::new();
    };
    let elements = object::elements(array.of(object)).into_iter();
    elements
        .map(|element| offset_span(element, array))
        .collect()
}

/// Span of the string at the end of a path of members.
fn string_at(source: &[u8], object: ByteSpan, path: &[&str]) -> Option<ByteSpan> {
    value_at(source, object, path).filter(|span| span.of(source).starts_with(b"\""))
}

/// Span of the value at the end of a path of members.
fn value_at(source: &[u8], object: ByteSpan, path: &[&str]) -> Option<ByteSpan> {
    path.iter().try_fold(object, |span, name| {
        let mut members = object::members(span.of(source));
        let found: ObjectMember<'_> = members.find(|member| member.name == *name)?;
        Some(offset_span(found.span, span))
    })
}

/// Shifts a span of a part to its position in the whole.
fn offset_span(span: ByteSpan, part: ByteSpan) -> ByteSpan {
    ByteSpan::new(part.start + span.start, part.start + span.end)
}
