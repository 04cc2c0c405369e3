//! Good answers, between the eras.

use bytes::Bytes;
use toolgate_mcp::{
    Answer, Edit, Span, answer::ResultPart, message, method, object, splice::InvalidEdit,
    text::quote,
};

use crate::{
    plan::ClientSide, refusal::UpstreamFailure, rewrite::stitch::stitch,
    session_id::ClientCapabilities,
};

use super::{Outcome, Relay, Reply, failed};

const COMPLETE: &str = "complete";
const INPUT_REQUIRED: &str = "input_required";

impl Relay {
    pub(super) fn result(
        &self,
        source: &Bytes,
        answer: &Answer<'_>,
        result: &ResultPart<'_>,
    ) -> Reply {
        let fail = |failure| failed(&self.call, failure);
        if matches!(
            result.mistyped,
            Some("resultType" | "inputRequests" | "requestState")
        ) {
            return fail(UpstreamFailure::Malformed);
        }
        // Absent is what servers say that know no other type.
        let kind = result
            .result_type
            .as_ref()
            .map_or(COMPLETE, |text| text.as_str());
        let outcome = match kind {
            COMPLETE if result.is_error && self.call.target.tool().is_some() => Outcome::ToolError,
            COMPLETE => Outcome::Done,
            INPUT_REQUIRED if !self.may_ask(answer, result) => {
                return fail(UpstreamFailure::NeedsInput);
            }
            INPUT_REQUIRED => Outcome::InputRequired,
            _ => return fail(UpstreamFailure::Malformed),
        };
        let body = match self.call.client {
            ClientSide::Modern { .. } => self.to_modern(answer, result),
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

    /// Whether the client declared all that the server wants of it.
    fn may_ask(&self, answer: &Answer<'_>, result: &ResultPart<'_>) -> bool {
        let ClientSide::Modern { capabilities } = self.call.client else {
            return false;
        };
        if !self.call.target.may_ask() {
            return false;
        }
        let requests = result
            .input_requests
            .map_or(&b"{}"[..], |span| answer.slice(span));
        object::members(requests).all(|request| {
            let url = || {
                let params = object::get(request.value, "params").unwrap_or(b"{}");
                object::get(params, "mode") == Some(b"\"url\"")
            };
            match object::get(request.value, "method") {
                Some(b"\"elicitation/create\"") if url() => {
                    capabilities.has(ClientCapabilities::ELICITATION_URL)
                }
                Some(b"\"elicitation/create\"") => {
                    capabilities.has(ClientCapabilities::ELICITATION)
                }
                Some(b"\"sampling/createMessage\"") => {
                    capabilities.has(ClientCapabilities::SAMPLING)
                }
                Some(b"\"roots/list\"") => capabilities.has(ClientCapabilities::ROOTS),
                Some(_) | None => false,
            }
        })
    }

    fn to_modern<'e>(
        &self,
        answer: &Answer<'e>,
        result: &ResultPart<'e>,
    ) -> Result<Vec<Edit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        let server = self.call.gateway.server_info.to_json();
        let own: &[(&str, &[u8])] = &[(method::META_SERVER, server.as_bytes())];
        let meta = result.meta.as_ref().map(|meta| meta.span);
        let before = meta.map_or(&b"{}"[..], |span| answer.slice(span));
        let after = object::rebuild(before, message::carried, own);
        // Both insertions go to one place, where the second would not see the first.
        let mut inserted = Vec::new();
        if result.result_type.is_none() {
            inserted.extend_from_slice(b"\"complete\"");
        }
        match meta {
            Some(span) => edits.push(Edit::replace(span, after)),
            None if inserted.is_empty() => {
                edits.push(object::insert(answer.source, result.span, "_meta", &after));
            }
            None => {
                inserted.extend_from_slice(b",\"_meta\":");
                inserted.extend_from_slice(&after);
            }
        }
        if !inserted.is_empty() {
            edits.push(object::insert(
                answer.source,
                result.span,
                "resultType",
                &inserted,
            ));
        }
        Ok(edits)
    }

    fn to_legacy<'e>(
        &self,
        answer: &Answer<'e>,
        result: &ResultPart<'e>,
    ) -> Result<Vec<Edit<'e>>, InvalidEdit> {
        let mut edits = vec![answer.with_id(&self.call.id)];
        let meta = result.meta.as_ref().map(|meta| meta.span);
        // Legacy clients know structured content of objects only; the text beside it says the same.
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

fn rebuilt(answer: &Answer<'_>, meta: Span) -> Vec<u8> {
    object::rebuild(answer.slice(meta), message::carried, &[])
}

/// `_meta` without what is between the server and us, if there is any such thing.
fn scrubbed<'e>(answer: &Answer<'e>, meta: Span) -> Option<Edit<'e>> {
    let mut members = object::members(answer.slice(meta));
    let clean = members.all(|member| message::carried(&member.name));
    (!clean).then(|| Edit::replace(meta, rebuilt(answer, meta)))
}

/// The number of a JSON value, if it is one.
pub(super) fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A name with the server's id ahead of it, as a JSON string.
pub(super) fn prefixed(server: &str, name: &str) -> String {
    quote(&format!("{server}/{name}"))
}
