//! Conversion of results between the eras.

use std::borrow::Cow;

use bytes::Bytes;
use toolgate_mcp::{
    Answer, Edit, Span, answer::ResultPart, message, method, object, splice, splice::InvalidEdit,
    text::quote,
};

use toolgate_model::Era;

use crate::{
    asking::Question,
    plan::{ClientSide, Target},
    refusal::UpstreamFailure,
    rewrite::stitch::stitch,
};

use super::{Outcome, Relay, Reply, Required, failed};

const COMPLETE: &str = "complete";
const PRIVATE: &[u8] = b"\"private\"";
const INPUT_REQUIRED: &str = "input_required";
const TASK: &str = "task";

impl Relay {
    pub(super) fn result(
        &self,
        source: &Bytes,
        answer: &Answer<'_>,
        result: &ResultPart<'_>,
        state: Option<&str>,
    ) -> Reply {
        let fail = |failure| failed(&self.call, failure);
        if matches!(
            result.mistyped,
            Some("resultType" | "inputRequests" | "requestState")
        ) {
            return fail(UpstreamFailure::Malformed);
        }
        // Servers without other result types omit the member.
        let kind = result
            .result_type
            .as_ref()
            .map_or(COMPLETE, |text| text.as_str());
        let outcome = match kind {
            COMPLETE if result.is_error && self.call.target.tool().is_some() => Outcome::ToolError,
            COMPLETE if self.is_of_task() && self.questions(answer, result).is_none() => {
                return fail(UpstreamFailure::NeedsInput);
            }
            COMPLETE => Outcome::Done,
            TASK if self.call.tasks.is_some() => Outcome::Done,
            // Input that a task requires is part of a complete result.
            INPUT_REQUIRED if self.is_of_task() => return fail(UpstreamFailure::Malformed),
            // Legacy servers request input during a call.
            INPUT_REQUIRED if self.era == Era::Legacy => return fail(UpstreamFailure::Malformed),
            INPUT_REQUIRED if self.questions(answer, result).is_none() => {
                return fail(UpstreamFailure::NeedsInput);
            }
            INPUT_REQUIRED => Outcome::InputRequired,
            _ => return fail(UpstreamFailure::Malformed),
        };
        let body = match self.call.client {
            ClientSide::Modern { .. } => self.to_modern(answer, result, state),
            ClientSide::Legacy { .. } => self.to_legacy(answer, result),
        };
        match body.and_then(|edits| stitch(source, edits)) {
            Ok(body) => Reply {
                body,
                status: 200,
                outcome,
            },
            Err(_edit) => fail(UpstreamFailure::Malformed),
        }
    }

    /// Removes the members of an input request from a result that is not one. The state of a server is only sent to
    /// the client sealed. The input requests of a task are part of its complete result and stay. Returns `None` if
    /// nothing is removed.
    pub(super) fn without_round(&self, source: &Bytes, result: &ResultPart<'_>) -> Option<Bytes> {
        let (state, requests) = (&result.request_state, result.input_requests);
        if state.is_none() && (requests.is_none() || self.is_of_task()) {
            return None;
        }
        let kind = result.result_type.as_ref();
        let asks = kind.is_some_and(|kind| kind.as_str() == INPUT_REQUIRED);
        // Between two legacy parties these members have no special meaning.
        let foreign = self.era == Era::Legacy && !self.is_modern();
        if asks || foreign || result.mistyped.is_some() {
            return None;
        }
        let keep = |name: &str| match name {
            "requestState" => false,
            "inputRequests" => self.is_of_task(),
            _ => true,
        };
        let bare = object::rebuild(result.span.of(source), keep, &[]);
        splice(source, vec![Edit::replace(result.span, bare)]).ok()
    }

    /// Returns the input that a modern server requests of a legacy client, if the client supports all of it.
    pub(super) fn required(
        &self,
        answer: &Answer<'_>,
        result: &ResultPart<'_>,
    ) -> Option<Required> {
        let kind = result.result_type.as_ref()?;
        if kind.as_str() != INPUT_REQUIRED || self.is_modern() || result.mistyped.is_some() {
            return None;
        }
        let requests = self.questions(answer, result)?;
        let state = result.request_state.as_ref();
        let state = state.map(|text| String::from_utf8_lossy(answer.slice(text.span)));
        let state = state.map(|literal| Box::from(&*literal));
        (state.is_some() || !requests.is_empty()).then_some(Required { requests, state })
    }

    /// Returns the `requestState` of a modern server for a modern client (JSON string as written), if the client
    /// supports all requested input.
    pub(super) fn entrusts(
        &self,
        answer: &Answer<'_>,
        result: &ResultPart<'_>,
    ) -> Option<Box<str>> {
        let state = result.request_state.as_ref()?;
        let asks = result.result_type.as_ref()?.as_str() == INPUT_REQUIRED && self.is_modern();
        if !asks || self.is_of_task() || self.era == Era::Legacy || result.mistyped.is_some() {
            return None;
        }
        self.questions(answer, result)?;
        let literal = answer.slice(state.span);
        Some(String::from_utf8_lossy(literal).into())
    }

    /// Returns the requested input, or `None` unless the client declared the capabilities for all of it.
    fn questions(
        &self,
        answer: &Answer<'_>,
        result: &ResultPart<'_>,
    ) -> Option<Vec<(Box<str>, Question)>> {
        let may = self.call.askable();
        if !self.call.target.may_ask() {
            return None;
        }
        let requests = result.input_requests.map(|span| answer.slice(span));
        let questions = Question::read_all(requests.unwrap_or(b"{}"))?;
        let declared = |(_, question): &(_, Question)| may.has(question.kind().needs());
        questions.iter().all(declared).then_some(questions)
    }

    /// Adds the name of the requesting server to each input request.
    fn signed(&self, requests: &[u8]) -> Vec<u8> {
        let server = &self.call.server().name.id;
        let questions = Question::read_all(requests).unwrap_or_default();
        let members = object::members(requests).zip(questions);
        let signed: Vec<_> = members
            .map(|(request, (key, question))| (key, question.to_input(server, request.value)))
            .collect();
        let signed: Vec<(&str, &[u8])> = signed.iter().map(|(k, v)| (&**k, &v[..])).collect();
        object::rebuild(b"{}", |_| true, &signed)
    }

    fn to_modern<'e>(
        &'e self,
        answer: &Answer<'e>,
        result: &ResultPart<'e>,
        state: Option<&'e str>,
    ) -> Result<Vec<Edit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        if let (Some(own), Some(state)) = (&result.request_state, state) {
            edits.push(Edit::replace(own.span, state.as_bytes()));
        }
        if let Some(span) = result.input_requests {
            edits.push(Edit::replace(span, self.signed(answer.slice(span))));
        }
        self.tasks(answer, result, &mut edits)?;
        let gateway = &self.call.gateway;
        let meta = result.meta.as_ref().map(|meta| meta.span);
        let after = match meta {
            Some(span) => {
                let server = gateway.server_info.to_json();
                let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
                let rebuilt = object::rebuild(answer.slice(span), message::carried, own);
                Cow::Owned(rebuilt)
            }
            None => Cow::Borrowed(gateway.own_meta()),
        };
        let mut added = Added::default();
        if result.result_type.is_none() {
            added.put("resultType", b"\"complete\"");
        }
        match meta {
            Some(span) => edits.push(Edit::replace(span, after)),
            None => added.put("_meta", &after),
        }
        if is_complete(result) && matches!(self.call.target, Target::Resource(_)) {
            keeping(answer, result, &mut edits, &mut added);
        }
        if let Some(first) = added.first {
            let inserted = object::insert(answer.source, result.span, first, &added.text);
            edits.push(inserted);
        }
        Ok(edits)
    }

    fn to_legacy<'e>(
        &'e self,
        answer: &Answer<'e>,
        result: &ResultPart<'e>,
    ) -> Result<Vec<Edit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        let meta = result.meta.as_ref().map(|meta| meta.span);
        // Legacy clients support structured content of objects only; the text content holds the same.
        let unknown = result.structured.is_some_and(|(_, is_object)| !is_object);
        if result.result_type.is_none() && !unknown {
            if let Some(span) = meta {
                edits.extend(scrubbed(answer, span));
            }
            return Ok(edits);
        }
        let keep = |name: &str| {
            let hop = matches!(name, "resultType" | "ttlMs" | "cacheScope");
            !(hop || (unknown && name == "structuredContent"))
        };
        let whole = answer.slice(result.span);
        let after = match meta.map(|span| rebuilt(answer, span)) {
            Some(meta) => object::rebuild(whole, keep, &[("_meta", &meta)]),
            None => object::rebuild(whole, keep, &[]),
        };
        edits.push(Edit::replace(result.span, after));
        Ok(edits)
    }
}

fn is_complete(result: &ResultPart<'_>) -> bool {
    let kind = result.result_type.as_ref();
    kind.is_none_or(|kind| kind.as_str() == COMPLETE)
}

pub(super) fn is_task(result: &ResultPart<'_>) -> bool {
    let kind = result.result_type.as_ref();
    kind.is_some_and(|kind| kind.as_str() == TASK)
}

/// Members to append to a result. All of them are inserted at one position, so they are collected into one edit.
#[derive(Default)]
struct Added {
    first: Option<&'static str>,
    text: Vec<u8>,
}

impl Added {
    fn put(&mut self, name: &'static str, value: &[u8]) {
        if self.first.is_none() {
            self.first = Some(name);
        } else {
            self.text.extend_from_slice(b",\"");
            self.text.extend_from_slice(name.as_bytes());
            self.text.extend_from_slice(b"\":");
        }
        self.text.extend_from_slice(value);
    }
}

/// Sets the cache members of a read resource. The lifetime is the server's, or zero; the scope is always private,
/// because other callers may lack access.
fn keeping<'e>(
    answer: &Answer<'e>,
    result: &ResultPart<'_>,
    edits: &mut Vec<Edit<'e>>,
    added: &mut Added,
) {
    let members = object::members(answer.slice(result.span));
    let (mut ttl, mut scope) = (false, false);
    for member in members {
        let span = Span::new(
            result.span.start + member.span.start,
            result.span.start + member.span.end,
        );
        match &*member.name {
            "ttlMs" => {
                ttl = true;
                if !member.value.iter().all(u8::is_ascii_digit) {
                    edits.push(Edit::replace(span, &b"0"[..]));
                }
            }
            "cacheScope" => {
                scope = true;
                if member.value != PRIVATE {
                    edits.push(Edit::replace(span, PRIVATE));
                }
            }
            _ => {}
        }
    }
    if !ttl {
        added.put("ttlMs", b"0");
    }
    if !scope {
        added.put("cacheScope", PRIVATE);
    }
}

fn rebuilt(answer: &Answer<'_>, meta: Span) -> Vec<u8> {
    object::rebuild(answer.slice(meta), message::carried, &[])
}

/// Removes hop-by-hop members from `_meta`. Returns `None` if there are none.
pub(super) fn scrubbed<'e>(answer: &Answer<'e>, meta: Span) -> Option<Edit<'e>> {
    let mut members = object::members(answer.slice(meta));
    let clean = members.all(|member| message::carried(&member.name));
    (!clean).then(|| Edit::replace(meta, rebuilt(answer, meta)))
}

/// Parses a JSON number.
pub(super) fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Name prefixed with the server's id, as a JSON string.
pub(super) fn prefixed(server: &str, name: &str) -> String {
    quote(&format!("{server}/{name}"))
}
