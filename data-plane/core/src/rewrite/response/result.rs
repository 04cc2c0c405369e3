//! Conversion of results between the eras.

use std::borrow::Cow;

use bytes::Bytes;
use toolgate_mcp::{
    ByteEdit, ByteSpan, ServerMessage, message, method, object, server_message::ResultMembers,
    splice, splice::InvalidEdit, text::quote,
};

use toolgate_model::Era;

use crate::{
    call::Elicitation,
    plan::{ClientProtocol, RequestTarget},
    refusal::UpstreamFailure,
    rewrite::segmented_splice::segmented_splice,
};

use super::{CallOutcome, ClientResponse, InputRequirement, ResponseRelay, failure_response};

const COMPLETE: &str = "complete";
const PRIVATE: &[u8] = b"\"private\"";
const INPUT_REQUIRED: &str = "input_required";
const TASK: &str = "task";

impl ResponseRelay {
    pub(super) fn result_response(
        &self,
        source: &Bytes,
        answer: &ServerMessage<'_>,
        result: &ResultMembers<'_>,
        state: Option<&str>,
    ) -> ClientResponse {
        let fail = |failure| failure_response(&self.call, failure);
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
            COMPLETE if result.is_error && self.call.target.tool().is_some() => {
                CallOutcome::ToolError
            }
            COMPLETE
                if self.is_task_request() && self.server_requests(answer, result).is_none() =>
            {
                return fail(UpstreamFailure::NeedsInput);
            }
            COMPLETE => CallOutcome::Done,
            TASK if self.call.task_cipher.is_some() => CallOutcome::Done,
            // Input that a task requires is part of a complete result.
            INPUT_REQUIRED if self.is_task_request() => return fail(UpstreamFailure::Malformed),
            // Legacy servers request input during a call.
            INPUT_REQUIRED if self.era == Era::Legacy => return fail(UpstreamFailure::Malformed),
            INPUT_REQUIRED if self.server_requests(answer, result).is_none() => {
                return fail(UpstreamFailure::NeedsInput);
            }
            INPUT_REQUIRED => CallOutcome::InputRequired,
            _ => return fail(UpstreamFailure::Malformed),
        };
        let body = match self.call.client {
            ClientProtocol::Modern { .. } => self.to_modern(answer, result, state),
            ClientProtocol::Legacy { .. } => self.to_legacy(answer, result),
        };
        match body.and_then(|edits| segmented_splice(source, edits)) {
            Ok(body) => ClientResponse {
                body,
                status: 200,
                outcome,
            },
            Err(_edit) => fail(UpstreamFailure::Malformed),
        }
    }

    /// Removes members that are `null` where the schema has them optional, as a client may accept their absence only. The
    /// content of a tool's result is not optional and becomes empty. Returns `None` if nothing is changed.
    pub(super) fn without_null_members(
        &self,
        source: &Bytes,
        result: &ResultMembers<'_>,
    ) -> Option<Bytes> {
        let nulls = &result.null_members;
        let content = nulls.contains(&"content") && self.call.target.tool().is_some();
        let structured = result.structured.map(|(span, _)| span.of(source));
        // Modern servers may return any value.
        let structured = self.era == Era::Legacy && structured == Some(b"null");
        if !structured && !content && nulls.iter().all(|name| *name == "content") {
            return None;
        }
        let keep = |name: &str| match name {
            "structuredContent" => !structured,
            "content" => true,
            _ => !nulls.contains(&name),
        };
        let empty: &[(&str, &[u8])] = &[("content", b"[]")];
        let added = if content { empty } else { &[] };
        let bare = object::rebuild(result.span.of(source), keep, added);
        splice(source, vec![ByteEdit::replace(result.span, bare)]).ok()
    }

    /// Removes the members of an input request from a result that is not one. The state of a server is only sent to
    /// the client encrypted. The input requests of a task are part of its complete result and stay. Returns `None` if
    /// nothing is removed.
    pub(super) fn without_input_members(
        &self,
        source: &Bytes,
        result: &ResultMembers<'_>,
    ) -> Option<Bytes> {
        let (state, requests) = (&result.request_state, result.input_requests);
        if state.is_none() && (requests.is_none() || self.is_task_request()) {
            return None;
        }
        let kind = result.result_type.as_ref();
        let requires_input = kind.is_some_and(|kind| kind.as_str() == INPUT_REQUIRED);
        // Between two legacy parties these members have no special meaning.
        let both_legacy = self.era == Era::Legacy && !self.is_modern();
        if requires_input || both_legacy || result.mistyped.is_some() {
            return None;
        }
        let keep = |name: &str| match name {
            "requestState" => false,
            "inputRequests" => self.is_task_request(),
            _ => true,
        };
        let bare = object::rebuild(result.span.of(source), keep, &[]);
        splice(source, vec![ByteEdit::replace(result.span, bare)]).ok()
    }

    /// Returns the input that a modern server requests of a legacy client, if the client supports all of it.
    pub(super) fn input_requirement(
        &self,
        answer: &ServerMessage<'_>,
        result: &ResultMembers<'_>,
    ) -> Option<InputRequirement> {
        let kind = result.result_type.as_ref()?;
        let concerns_the_gateway = self.era == Era::Modern && !self.is_modern();
        if kind.as_str() != INPUT_REQUIRED || !concerns_the_gateway || result.mistyped.is_some() {
            return None;
        }
        let requests = self.server_requests(answer, result)?;
        let state = result.request_state.as_ref();
        let state = state.map(|text| String::from_utf8_lossy(answer.slice(text.span)));
        let state = state.map(|literal| Box::from(&*literal));
        (state.is_some() || !requests.is_empty()).then_some(InputRequirement { requests, state })
    }

    /// Returns the `requestState` of a modern server for a modern client (JSON string as written), if the client
    /// supports all requested input.
    pub(super) fn state_to_encrypt(
        &self,
        answer: &ServerMessage<'_>,
        result: &ResultMembers<'_>,
    ) -> Option<Box<str>> {
        let state = result.request_state.as_ref()?;
        let requires_input =
            result.result_type.as_ref()?.as_str() == INPUT_REQUIRED && self.is_modern();
        if !requires_input
            || self.is_task_request()
            || self.era == Era::Legacy
            || result.mistyped.is_some()
        {
            return None;
        }
        self.server_requests(answer, result)?;
        let literal = answer.slice(state.span);
        Some(String::from_utf8_lossy(literal).into())
    }

    /// Returns the requested input, or `None` unless the client declared the capabilities for all of it.
    fn server_requests(
        &self,
        answer: &ServerMessage<'_>,
        result: &ResultMembers<'_>,
    ) -> Option<Vec<(Box<str>, Elicitation)>> {
        let may = self.call.requestable_capabilities();
        if !self.call.target.may_request_input() {
            return None;
        }
        let requests = result.input_requests.map(|span| answer.slice(span));
        let questions = Elicitation::read_all(requests.unwrap_or(b"{}"))?;
        let declared = |(_, question): &(_, Elicitation)| may.contains(question.kind().needs());
        questions.iter().all(declared).then_some(questions)
    }

    /// Adds the name of the requesting server to each input request.
    fn attribute_requests(&self, requests: &[u8]) -> Vec<u8> {
        let server = &self.call.server().name.id;
        let questions = Elicitation::read_all(requests).unwrap_or_default();
        let members = object::members(requests).zip(questions);
        let signed: Vec<_> = members
            .map(|(request, (key, question))| (key, question.to_input(server, request.value)))
            .collect();
        let signed: Vec<(&str, &[u8])> = signed.iter().map(|(k, v)| (&**k, &v[..])).collect();
        object::rebuild(b"{}", |_| true, &signed)
    }

    fn to_modern<'e>(
        &'e self,
        answer: &ServerMessage<'e>,
        result: &ResultMembers<'e>,
        state: Option<&'e str>,
    ) -> Result<Vec<ByteEdit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        if let (Some(own), Some(state)) = (&result.request_state, state) {
            edits.push(ByteEdit::replace(own.span, state.as_bytes()));
        }
        if let Some(span) = result.input_requests {
            edits.push(ByteEdit::replace(
                span,
                self.attribute_requests(answer.slice(span)),
            ));
        }
        self.task_edits(answer, result, &mut edits)?;
        let gateway = &self.call.gateway;
        let meta = result.meta.as_ref().map(|meta| meta.span);
        let after = match meta {
            Some(span) => {
                let server = gateway.server_info.to_json();
                let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
                let rebuilt = object::rebuild(answer.slice(span), message::is_forwarded_meta, own);
                Cow::Owned(rebuilt)
            }
            None => Cow::Borrowed(gateway.server_meta()),
        };
        let mut added = AppendedMembers::default();
        if result.result_type.is_none() {
            added.put("resultType", b"\"complete\"");
        }
        match meta {
            Some(span) => edits.push(ByteEdit::replace(span, after)),
            None => added.put("_meta", &after),
        }
        if is_complete(result) && matches!(self.call.target, RequestTarget::Resource(_)) {
            set_cache_members(answer, result, &mut edits, &mut added);
        }
        if let Some(first) = added.first {
            let inserted = object::insert(answer.source, result.span, first, &added.text);
            edits.push(inserted);
        }
        Ok(edits)
    }

    fn to_legacy<'e>(
        &'e self,
        answer: &ServerMessage<'e>,
        result: &ResultMembers<'e>,
    ) -> Result<Vec<ByteEdit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        let meta = result.meta.as_ref().map(|meta| meta.span);
        // Legacy clients support structured content of objects only; the text content holds the same.
        let unknown = result.structured.is_some_and(|(_, is_object)| !is_object);
        if result.result_type.is_none() && !unknown {
            if let Some(span) = meta {
                edits.extend(scrub_meta(answer, span));
            }
            return Ok(edits);
        }
        let keep = |name: &str| {
            let hop = matches!(name, "resultType" | "ttlMs" | "cacheScope");
            !(hop || (unknown && name == "structuredContent"))
        };
        let whole = answer.slice(result.span);
        let after = match meta.map(|span| rebuild_meta(answer, span)) {
            Some(meta) => object::rebuild(whole, keep, &[("_meta", &meta)]),
            None => object::rebuild(whole, keep, &[]),
        };
        edits.push(ByteEdit::replace(result.span, after));
        Ok(edits)
    }
}

fn is_complete(result: &ResultMembers<'_>) -> bool {
    let kind = result.result_type.as_ref();
    kind.is_none_or(|kind| kind.as_str() == COMPLETE)
}

pub(super) fn is_task(result: &ResultMembers<'_>) -> bool {
    let kind = result.result_type.as_ref();
    kind.is_some_and(|kind| kind.as_str() == TASK)
}

/// Members to append to a result. All of them are inserted at one position, so they are collected into one edit.
#[derive(Default)]
struct AppendedMembers {
    first: Option<&'static str>,
    text: Vec<u8>,
}

impl AppendedMembers {
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
fn set_cache_members<'e>(
    answer: &ServerMessage<'e>,
    result: &ResultMembers<'_>,
    edits: &mut Vec<ByteEdit<'e>>,
    added: &mut AppendedMembers,
) {
    let members = object::members(answer.slice(result.span));
    let (mut ttl, mut scope) = (false, false);
    for member in members {
        let span = ByteSpan::new(
            result.span.start + member.span.start,
            result.span.start + member.span.end,
        );
        match &*member.name {
            "ttlMs" => {
                ttl = true;
                if !member.value.iter().all(u8::is_ascii_digit) {
                    edits.push(ByteEdit::replace(span, &b"0"[..]));
                }
            }
            "cacheScope" => {
                scope = true;
                if member.value != PRIVATE {
                    edits.push(ByteEdit::replace(span, PRIVATE));
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

fn rebuild_meta(answer: &ServerMessage<'_>, meta: ByteSpan) -> Vec<u8> {
    object::rebuild(answer.slice(meta), message::is_forwarded_meta, &[])
}

/// Removes hop-by-hop members from `_meta`. Returns `None` if there are none.
pub(super) fn scrub_meta<'e>(answer: &ServerMessage<'e>, meta: ByteSpan) -> Option<ByteEdit<'e>> {
    let mut members = object::members(answer.slice(meta));
    let clean = members.all(|member| message::is_forwarded_meta(&member.name));
    (!clean).then(|| ByteEdit::replace(meta, rebuild_meta(answer, meta)))
}

/// Parses a JSON number.
pub(super) fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Name prefixed with the server's id, as a JSON string.
pub(super) fn prefixed(server: &str, name: &str) -> String {
    quote(&format!("{server}/{name}"))
}
