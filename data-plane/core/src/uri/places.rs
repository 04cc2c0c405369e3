//! Where URIs of a server stand in what it says: in structure only, never in free text or blobs. Places are counted from
//! the start of the object that is looked into, and each is a JSON string with its quotes.

use toolgate_mcp::{
    Span,
    object::{self, Member},
};

/// The members that hosts look for what they render at; the second is how it was first written.
const RENDERED: [&[&str]; 2] = [
    &["_meta", "ui", "resourceUri"],
    &["_meta", "ui/resourceUri"],
];

/// In a definition of a tool.
pub fn of_definition(tool: &[u8]) -> Vec<Span> {
    rendered(tool)
}

/// In the result of a tool.
pub fn of_tool(result: &[u8]) -> Vec<Span> {
    let mut found = rendered(result);
    for block in items(result, "content") {
        content(result, block, &mut found);
    }
    found
}

/// In what is told of a task: the result of its tool, once there is one.
pub fn of_task(result: &[u8]) -> Vec<Span> {
    let whole = Span::new(0, result.len());
    let Some(held) = within(result, whole, &["result"]) else {
        return Vec::new();
    };
    let found = of_tool(held.of(result)).into_iter();
    found.map(|place| moved(place, held)).collect()
}

/// In the result of a prompt.
pub fn of_prompt(result: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for message in items(result, "messages") {
        let Some(held) = within(result, message, &["content"]) else {
            continue;
        };
        if held.of(result).starts_with(b"[") {
            for block in object::elements(held.of(result)) {
                content(result, moved(block, held), &mut found);
            }
        } else {
            content(result, held, &mut found);
        }
    }
    found
}

/// In the result of reading a resource.
pub fn of_read(result: &[u8]) -> Vec<Span> {
    let contents = items(result, "contents").into_iter();
    contents
        .filter_map(|item| string(result, item, &["uri"]))
        .collect()
}

/// In one block of content.
fn content(source: &[u8], block: Span, found: &mut Vec<Span>) {
    let kind = within(source, block, &["type"]);
    let kind = kind.and_then(|kind| serde_json::from_slice::<String>(kind.of(source)).ok());
    found.extend(match kind.as_deref() {
        Some("resource_link") => string(source, block, &["uri"]),
        Some("resource") => string(source, block, &["resource", "uri"]),
        Some(_) | None => None,
    });
}

fn rendered(object: &[u8]) -> Vec<Span> {
    let whole = Span::new(0, object.len());
    let paths = RENDERED.into_iter();
    paths
        .filter_map(|path| string(object, whole, path))
        .collect()
}

/// The elements of an array that is a member of `object`.
fn items(object: &[u8], member: &str) -> Vec<Span> {
    let whole = Span::new(0, object.len());
    let Some(array) = within(object, whole, &[member]) else {
        return Vec::new();
    };
    let elements = object::elements(array.of(object)).into_iter();
    elements.map(|element| moved(element, array)).collect()
}

/// The string at the end of a path of members.
fn string(source: &[u8], object: Span, path: &[&str]) -> Option<Span> {
    within(source, object, path).filter(|place| place.of(source).starts_with(b"\""))
}

/// The value at the end of a path of members.
fn within(source: &[u8], object: Span, path: &[&str]) -> Option<Span> {
    path.iter().try_fold(object, |place, name| {
        let mut members = object::members(place.of(source));
        let found: Member<'_> = members.find(|member| member.name == *name)?;
        Some(moved(found.span, place))
    })
}

/// A place in a part of something as a place in the whole.
fn moved(place: Span, part: Span) -> Span {
    Span::new(part.start + place.start, part.start + place.end)
}
