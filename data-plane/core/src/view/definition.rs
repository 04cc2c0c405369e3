//! Conversion of a server's tool definition into an exposed tool.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{
    ByteSpan,
    headers::params::HeaderAnnotations,
    object::{self, ObjectMember},
    splice,
    text::quote,
};
use toolgate_model::{Definition, Digest, UriMode, snapshot::ExposedTool};

use crate::{
    ServerView, ToolView,
    view::{shape, uri},
};

/// Facts of the definition of a tool that are the same under any exposed name.
#[derive(Debug)]
pub(super) struct ToolFacts {
    definition: Arc<str>,
    name_span: ByteSpan,
    read_only: bool,
    idempotent: bool,
    params: HeaderAnnotations,
    /// The definition for legacy clients is another one.
    differs_for_legacy: bool,
}

impl ToolFacts {
    /// Reads a definition, or returns the reason why the tool cannot be exposed.
    pub(super) fn read(definition: Arc<str>) -> Result<Self, &'static str> {
        let json = definition.as_bytes();
        let members: Vec<ObjectMember<'_>> = object::members(json).collect();
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let name = find("name").ok_or("its definition is not an object with a name")?;
        let input = find("inputSchema").ok_or("its definition has no inputSchema")?;
        if !input.value.starts_with(b"{") {
            return Err("its inputSchema is not an object");
        }
        let hint = |hint: &str| {
            let annotations = find("annotations").map(|member| member.value);
            annotations.and_then(|object| object::get(object, hint)) == Some(b"true")
        };
        let is_of_objects =
            |output: &&ObjectMember<'_>| object::get(output.value, "type") == Some(b"\"object\"");
        Ok(Self {
            name_span: name.span,
            read_only: hint("readOnlyHint"),
            idempotent: hint("idempotentHint"),
            params: HeaderAnnotations::of_schema(input.value)
                .map_err(|_problem| "its x-mcp-header annotations are not valid")?,
            differs_for_legacy: find("outputSchema").is_some_and(|it| !is_of_objects(&it)),
            definition: Arc::clone(&definition),
        })
    }
}

/// Creates the view of a tool, or returns the reason why it cannot be exposed. `facts` describe its definition without a
/// shape.
pub(super) fn expose(
    tool: &ExposedTool,
    server: &Arc<ServerView>,
    (definition, facts): (&Definition, &Result<ToolFacts, &'static str>),
    uris: UriMode,
) -> Result<ToolView, &'static str> {
    let (mut arguments, mut shaped) = (None, None);
    if let Some(shape) = &tool.shape {
        let definition = with_exposed_uris(server, definition, uris);
        arguments = shape::ReservedArguments::new(shape, &definition)?;
        let exposed = shape::exposed_definition(shape, &definition);
        let exposed = exposed.ok_or("its definition is not an object with a name")?;
        shaped = Some(ToolFacts::read(exposed)?);
    }
    let exposed_digest = shaped.as_ref().map_or(tool.digest, |shaped| {
        Digest::of_bytes(shaped.definition.as_bytes())
    });
    let facts = match &shaped {
        Some(shaped) => shaped,
        None => facts.as_ref().map_err(|reason| *reason)?,
    };
    Ok(ToolView {
        exposed: tool.exposed.as_str().into(),
        original: tool.original.as_str().into(),
        original_json: Bytes::from(quote(&tool.original)),
        server: Arc::clone(server),
        digest: tool.digest,
        exposed_digest,
        read_only: facts.read_only,
        idempotent: facts.idempotent,
        params: facts.params.clone(),
        reserved_arguments: arguments,
        definition: Arc::clone(&facts.definition),
        name_span: facts.name_span,
        legacy: facts
            .differs_for_legacy
            .then(|| legacy_definition(tool, facts.definition.as_bytes()))
            .flatten(),
    })
}

/// Returns the definition of a tool with the URIs that a gateway exposes.
pub(super) fn with_exposed_uris(
    server: &ServerView,
    definition: &Definition,
    uris: UriMode,
) -> Arc<str> {
    let exposed = match uris {
        UriMode::Prefixed => with_exposed_app_uri(server, &definition.json),
        UriMode::Through => None,
    };
    exposed.unwrap_or_else(|| Arc::clone(&definition.json))
}

/// Definition with the exposed URI of its MCP Apps page, or `None` if the tool has no page.
fn with_exposed_app_uri(server: &ServerView, definition: &str) -> Option<Arc<str>> {
    let uri_spans = uri::uri_spans::of_definition(definition.as_bytes());
    let edits = uri::prefix_edits(server.name.id.as_str(), definition.as_bytes(), &uri_spans);
    if edits.is_empty() {
        return None;
    }
    let exposed = splice(definition.as_bytes(), edits).ok()?;
    std::str::from_utf8(&exposed).ok().map(Arc::from)
}

/// Definition for legacy clients, which support output schemas of objects only: any other schema is left out.
fn legacy_definition(tool: &ExposedTool, json: &[u8]) -> Option<Box<str>> {
    let exposed = quote(&tool.exposed);
    // The name keeps its position, so that the definitions of the two eras differ in nothing else.
    let mut out = Vec::with_capacity(json.len());
    for member in object::members(json) {
        if member.name == "outputSchema" {
            continue;
        }
        let own = member.name == "name";
        let value = if own {
            exposed.as_bytes()
        } else {
            member.value
        };
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(member.key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    String::from_utf8(out).ok().map(String::into_boxed_str)
}
