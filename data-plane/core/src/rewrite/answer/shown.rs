//! What has to change within a result before it is a client's: URIs under their server's prefix, and no more completions
//! than are allowed. Where servers' URIs are shown as they are, nothing is looked at.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::{Edit, Span, object, splice};

use crate::{
    plan::Target,
    uri::{self, places},
};

use super::Relay;

/// Values in one completion.
const COMPLETIONS: usize = 100;

impl Relay {
    /// The message with its result as the client may see it; none if it may stay as it is.
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

/// Whether there can be a URI in the structure of a tool's result: the words that announce one all have this in them,
/// unless they are escaped.
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

/// An edit of a part as an edit of the whole.
fn moved(edit: Edit<'_>, part: Span) -> Edit<'_> {
    let span = Span::new(part.start + edit.span.start, part.start + edit.span.end);
    Edit { span, ..edit }
}
