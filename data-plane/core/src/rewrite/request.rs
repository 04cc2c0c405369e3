//! Rewriting of a client's call into a request to the server.

use std::borrow::Cow;

use bytes::Bytes;
use toolgate_mcp::{
    ByteEdit, ByteSpan, FrameLimits, apps, envelope, headers, message, method, object, splice,
    splice::InvalidEdit, text::quote, trace,
};
use toolgate_model::Era;

use crate::{
    client_state::task::EXTENSION,
    plan::{CallPlan, ClientProtocol},
    session::{LogLevel, session_id::ClientCapabilities},
};

const INPUT_RESPONSES: &str = "inputResponses";
const REQUEST_STATE: &str = "requestState";

/// Parameters of a request to a server.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamRequestOptions<'a> {
    /// Protocol era of the server.
    pub era: Era,
    /// Protocol version to use.
    pub version: &'a str,
    /// Request id of the gateway; also used as the progress token.
    pub id: u64,
    /// Least severe log level to request, from [`CallPlan::effective_log_level`].
    pub log_level: Option<LogLevel>,
    /// `traceparent` of the gateway's own span, if there is one; otherwise the client's trace context is sent.
    pub traceparent: Option<&'a str>,
}

/// Request to send to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRequest<'a> {
    /// Body.
    pub body: Bytes,
    /// Standard MCP headers, with names in lower case, except `Mcp-Session-Id`.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// `clientInfo` of the gateway towards servers, JSON.
pub const CLIENT_INFO: &str = concat!(
    "{\"name\":\"toolgate\",\"title\":\"Toolgate\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}"
);

/// Builds the request to the server. `body` is the body that was planned.
pub fn request<'a>(
    body: &Bytes,
    call: &'a CallPlan,
    to: &UpstreamRequestOptions<'a>,
) -> Result<UpstreamRequest<'a>, InvalidEdit> {
    let spans = &call.spans;
    let id = to.id.to_string();
    let mut edits = vec![
        ByteEdit::replace(spans.id, id.as_bytes()),
        ByteEdit::replace(spans.target_name, &call.target.original_json()[..]),
    ];
    let given = spans.arguments.map_or(&b"{}"[..], |span| span.of(body));
    let own = call.target.reserved_arguments();
    let merged = own.and_then(|own| own.merged(given));
    let outgoing_arguments = merged.as_deref().unwrap_or(given);
    match (spans.run_tool_arguments, spans.arguments, &merged) {
        (None, None, None) | (None, Some(_), None) => {}
        (None, Some(span), Some(merged)) => edits.push(ByteEdit::replace(span, &merged[..])),
        (None, None, Some(merged)) => {
            edits.push(object::insert(body, spans.params, "arguments", merged));
        }
        // The arguments of `run_tool` are cut away around the inner arguments, which stay in place.
        (Some(run_tool_arguments), Some(span), None) => edits.extend([
            ByteEdit::replace(
                ByteSpan::new(run_tool_arguments.start, span.start),
                &b""[..],
            ),
            ByteEdit::replace(ByteSpan::new(span.end, run_tool_arguments.end), &b""[..]),
        ]),
        (Some(run_tool_arguments), _, _) => {
            edits.push(ByteEdit::replace(run_tool_arguments, outgoing_arguments))
        }
    }
    if let Some(returned) = &call.returned_state {
        edits.push(ByteEdit::replace(
            returned.span,
            returned.literal.as_bytes(),
        ));
    }
    let before = spans.meta.map(|span| span.of(body));
    if let Some(meta) = upstream_meta(before, call, to, &id) {
        edits.push(match spans.meta {
            Some(span) => ByteEdit::replace(span, meta),
            None => object::insert(body, spans.params, "_meta", &meta),
        });
    }
    Ok(UpstreamRequest {
        body: splice(body, edits)?,
        headers: mcp_headers(outgoing_arguments, call, to),
    })
}

/// Returns the `_meta` of the request, or `None` if the client sent none and none is needed.
fn upstream_meta(
    before: Option<&[u8]>,
    call: &CallPlan,
    to: &UpstreamRequestOptions<'_>,
    token: &str,
) -> Option<Vec<u8>> {
    let capabilities;
    let version;
    let level;
    let (parent, state);
    let mut added: Vec<(&str, &[u8])> = Vec::with_capacity(6);
    let members = before.map(object::members).unwrap_or_default();
    let members = members.as_slice();
    if to.era == Era::Modern {
        capabilities = declared_capabilities(members, call);
        version = quote(to.version);
        added.push((method::META_VERSION, version.as_bytes()));
        added.push((method::META_CAPABILITIES, &capabilities));
        added.push((method::META_CLIENT, CLIENT_INFO.as_bytes()));
        if let Some(log_level) = to.log_level {
            level = quote(log_level.as_str());
            added.push((method::META_LOG_LEVEL, level.as_bytes()));
        }
    }
    if call.progress.is_some() {
        added.push((method::META_PROGRESS, token.as_bytes()));
    }
    let client_trace = call.trace.as_ref();
    let of_headers = client_trace.filter(|trace| !trace.in_meta);
    if let Some(value) = to.traceparent.or(of_headers.map(|trace| &*trace.parent)) {
        parent = quote(value);
        added.push((trace::TRACEPARENT, parent.as_bytes()));
    }
    if let Some(value) = of_headers.and_then(|trace| trace.state.as_deref()) {
        state = quote(value);
        added.push((trace::TRACESTATE, state.as_bytes()));
    }
    if before.is_none() && added.is_empty() {
        return None;
    }
    let keep = |name: &str| match name {
        // Baggage may hold personal data; it is not disclosed to servers.
        "baggage" => false,
        trace::TRACEPARENT => client_trace.is_some_and(|trace| trace.in_meta),
        trace::TRACESTATE => {
            client_trace.is_some_and(|trace| trace.in_meta && trace.state.is_some())
        }
        other => message::is_forwarded_meta(other),
    };
    Some(object::rebuild_from(members, keep, &added))
}

/// Capabilities declared to a modern server: those of the client, limited to what this server may request.
fn declared_capabilities(meta: &[object::ObjectMember<'_>], call: &CallPlan) -> Cow<'static, [u8]> {
    let may = call.declared_capabilities();
    let own = match call.client {
        ClientProtocol::Legacy { .. } => return Cow::Owned(may.to_json().into_bytes()),
        ClientProtocol::Modern { .. } => meta
            .iter()
            .find(|member| member.name == method::META_CAPABILITIES),
    };
    let own = match own.map(|member| member.value) {
        None | Some(b"{}") => return Cow::Borrowed(b"{}"),
        Some(own) => own,
    };
    let relayed = |name: &str| match name {
        "elicitation" => {
            may.contains(ClientCapabilities::ELICITATION)
                || may.contains(ClientCapabilities::ELICITATION_URL)
        }
        "sampling" => may.contains(ClientCapabilities::SAMPLING),
        "roots" => may.contains(ClientCapabilities::ROOTS),
        _ => false,
    };
    let extensions = object::get(own, "extensions").unwrap_or(b"{}");
    let known = |name: &str| match name {
        EXTENSION => may.contains(ClientCapabilities::TASKS),
        apps::EXTENSION => may.contains(ClientCapabilities::APPS),
        _ => false,
    };
    let extensions = object::rebuild(extensions, known, &[]);
    let added: &[(&str, &[u8])] = match &*extensions {
        b"{}" => &[],
        some => &[("extensions", some)],
    };
    Cow::Owned(object::rebuild(own, relayed, added))
}

/// Adds the `inputResponses` and the `requestState` (JSON string as written) requested by a modern server to the
/// request.
pub fn with_input_responses(
    body: &Bytes,
    responses: Option<&[u8]>,
    state: Option<&str>,
) -> Result<Bytes, InvalidEdit> {
    let envelope =
        envelope::parse(body, &FrameLimits::REQUEST).map_err(|fault| InvalidEdit(fault.at))?;
    let Some(params) = &envelope.params else {
        return Err(InvalidEdit(0));
    };
    let mut added: Vec<(&str, &[u8])> = Vec::with_capacity(2);
    added.extend(responses.map(|responses| (INPUT_RESPONSES, responses)));
    added.extend(state.map(|state| (REQUEST_STATE, state.as_bytes())));
    let keep = |name: &str| !matches!(name, INPUT_RESPONSES | REQUEST_STATE);
    let params = ByteEdit::replace(
        params.span,
        object::rebuild(envelope.slice(params.span), keep, &added),
    );
    splice(body, vec![params])
}

/// Builds the MCP headers from the arguments that the server gets. Headers of the client are never copied.
fn mcp_headers<'a>(
    arguments: &[u8],
    call: &'a CallPlan,
    to: &UpstreamRequestOptions<'a>,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut out = Vec::with_capacity(4);
    out.push((Cow::Borrowed(headers::VERSION), Cow::Borrowed(to.version)));
    if to.era == Era::Legacy {
        return out;
    }
    let method = Cow::Borrowed(call.target.method());
    out.push((Cow::Borrowed(headers::METHOD), method));
    if let Some(name) = call.target.mcp_name() {
        out.push((Cow::Borrowed(headers::NAME), headers::encode(name)));
    }
    let Some(params) = call.target.upstream_header_annotations() else {
        return out;
    };
    let mirrored = params.mirror(arguments).into_iter();
    out.extend(mirrored.map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value))));
    out
}
