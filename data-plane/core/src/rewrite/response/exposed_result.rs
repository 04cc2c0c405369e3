//! Rewriting of results before conversion: URIs get the prefix of their server, and completions are limited to the
//! allowed number. If the gateway exposes URIs unchanged, only completions are inspected.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::{ByteEdit, ByteSpan, object, splice};

use crate::{
    plan::RequestTarget,
    view::uri::{self, uri_spans},
};

use super::ResponseRelay;

/// Maximum number of values in a completion (MCP specification).
const MAX_COMPLETIONS: usize = 100;

impl ResponseRelay {
    /// Returns the message with its result rewritten for the client, or `None` if it is unchanged.
    pub(super) fn exposed_result(&self, source: &Bytes, result: ByteSpan) -> Option<Bytes> {
        let inner = result.of(source);
        let uri_spans = match &self.call.target {
            RequestTarget::Completion(_) => {
                let edit = cap_completions(inner)?;
                return splice(source, vec![offset_edit(edit, result)]).ok();
            }
            _ if !self.call.gateway.shows_prefixes() => return None,
            RequestTarget::Tool(_) if !may_contain_uri(inner) => return None,
            RequestTarget::Tool(_) => uri_spans::of_tool(inner),
            RequestTarget::Prompt(_) => uri_spans::of_prompt(inner),
            RequestTarget::Resource(_) => uri_spans::of_read(inner),
            RequestTarget::Task(_) => uri_spans::of_task(inner),
        };
        let server = self.call.server().name.id.as_str();
        let edits = uri::prefix_edits(server, inner, &uri_spans).into_iter();
        let edits: Vec<ByteEdit<'_>> = edits.map(|edit| offset_edit(edit, result)).collect();
        if edits.is_empty() {
            return None;
        }
        splice(source, edits).ok()
    }
}

/// Returns `false` if the structure of a tool's result cannot hold a URI. The names that introduce a URI all contain
/// this text, unless they are escaped.
fn may_contain_uri(result: &[u8]) -> bool {
    let holds = |word: &[u8]| memchr::memmem::find(result, word).is_some();
    holds(b"esource") || holds(b"\\u")
}

fn cap_completions(result: &[u8]) -> Option<ByteEdit<'static>> {
    let mut members = object::members(result);
    let completion = members.find(|member| member.name == "completion")?;
    let values = object::get(completion.value, "values")?;
    let values = object::elements(values).len();
    if values <= MAX_COMPLETIONS {
        return None;
    }
    let mut read: Value = serde_json::from_slice(completion.value).ok()?;
    read.get_mut("values")?
        .as_array_mut()?
        .truncate(MAX_COMPLETIONS);
    let all = read.as_object_mut()?;
    all.insert("hasMore".to_owned(), json!(true));
    all.entry("total").or_insert(json!(values));
    Some(ByteEdit::replace(
        completion.span,
        read.to_string().into_bytes(),
    ))
}

/// Shifts an edit of a part to its position in the whole.
fn offset_edit(edit: ByteEdit<'_>, part: ByteSpan) -> ByteEdit<'_> {
    let span = ByteSpan::new(part.start + edit.span.start, part.start + edit.span.end);
    ByteEdit { span, ..edit }
}
