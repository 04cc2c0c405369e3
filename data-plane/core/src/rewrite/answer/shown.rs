//! Rewriting of results before conversion: URIs get the prefix of their server, and completions are limited to the
//! allowed number. If the gateway exposes URIs unchanged, only completions are inspected.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::{Edit, Span, object, splice};

use crate::{
    plan::Target,
    uri::{self, places},
};

use super::Relay;

/// Maximum number of values in a completion (MCP specification).
const COMPLETIONS: usize = 100;

impl Relay {
    /// Returns the message with its result rewritten for the client, or `None` if it is unchanged.
    pub(super) fn shown(&self, source: &Bytes, result: Span) -> Option<Bytes> {
        let inner = result.of(source);
        let places = match &self.call.target {
            Target::Completion(_) => {
                let edit = capped(inner)?;
                return splice(source, vec![moved(edit, result)]).ok();
            }
            _ if !self.call.gateway.shows_prefixes() => return None,
            Target::Tool(_) if !may_hold(inner) => return None,
            Target::Tool(_) => places::of_tool(inner),
            Target::Prompt(_) => places::of_prompt(inner),
            Target::Resource(_) => places::of_read(inner),
            Target::Task(_) => places::of_task(inner),
        };
        let server = self.call.server().name.id.as_str();
        let edits = uri::edits(server, inner, &places).into_iter();
        let edits: Vec<Edit<'_>> = edits.map(|edit| moved(edit, result)).collect();
        if edits.is_empty() {
            return None;
        }
        splice(source, edits).ok()
    }
}

/// Returns `false` if the structure of a tool's result cannot hold a URI. The names that introduce a URI all contain
/// this text, unless they are escaped.
fn may_hold(result: &[u8]) -> bool {
    let holds = |word: &[u8]| memchr::memmem::find(result, word).is_some();
    holds(b"esource") || holds(b"\\u")
}

fn capped(result: &[u8]) -> Option<Edit<'static>> {
    let mut members = object::members(result);
    let completion = members.find(|member| member.name == "completion")?;
    let values = object::get(completion.value, "values")?;
    let values = object::elements(values).len();
    if values <= COMPLETIONS {
        return None;
    }
    let mut read: Value = serde_json::from_slice(completion.value).ok()?;
    read.get_mut("values")?
        .as_array_mut()?
        .truncate(COMPLETIONS);
    let all = read.as_object_mut()?;
    all.insert("hasMore".to_owned(), json!(true));
    all.entry("total").or_insert(json!(values));
    Some(Edit::replace(
        completion.span,
        read.to_string().into_bytes(),
    ))
}

/// Shifts an edit of a part to its position in the whole.
fn moved(edit: Edit<'_>, part: Span) -> Edit<'_> {
    let span = Span::new(part.start + edit.span.start, part.start + edit.span.end);
    Edit { span, ..edit }
}
