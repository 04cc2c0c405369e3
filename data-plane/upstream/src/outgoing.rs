//! The HTTP request of a call: protocol version, body and headers.

use std::borrow::Cow;

use toolgate_client::RequestHeaders;
use toolgate_data_core::{
    ServerView,
    call::InputResponses,
    refusal::UpstreamFailure,
    rewrite::{self, UpstreamRequest, UpstreamRequestOptions, request},
};
use toolgate_mcp::{headers::PARAM_PREFIX, trace, versions};

use crate::{context::CallContext, session::UpstreamSessionHandle};

/// Returns the protocol version of the request.
pub(crate) fn version<'a>(
    server: &'a ServerView,
    session: Option<&'a UpstreamSessionHandle>,
) -> &'a str {
    match session {
        Some(session) => &session.handshake.version,
        None => server
            .protocol_version
            .as_deref()
            .unwrap_or(versions::MODERN),
    }
}

/// Builds the body, with the answers of a round if there are any.
pub(crate) fn rewritten<'a>(
    context: &'a CallContext,
    to: &UpstreamRequestOptions<'a>,
    input_responses: Option<&InputResponses>,
) -> Result<UpstreamRequest<'a>, UpstreamFailure> {
    // Unreachable: the spans of the plan come from these bytes.
    let impossible = |_edit| UpstreamFailure::Malformed;
    let mut request = request(&context.body, &context.plan, to).map_err(impossible)?;
    if let Some(InputResponses { responses, state }) = input_responses {
        let with =
            rewrite::with_input_responses(&request.body, responses.as_deref(), state.as_deref());
        request.body = with.map_err(impossible)?;
    } else if context.plan.strips_continuation() {
        // The members of a retry are for the gateway, or for no question at all.
        request.body =
            rewrite::with_input_responses(&request.body, None, None).map_err(impossible)?;
    }
    Ok(request)
}

/// Builds the headers of the era. Of the headers of the rewritten request only the mirrored arguments are added: the
/// others are the same for every call.
pub(crate) fn outgoing(
    made: &[(Cow<'_, str>, Cow<'_, str>)],
    session: Option<&UpstreamSessionHandle>,
    to: &UpstreamRequestOptions<'_>,
    context: &CallContext,
) -> RequestHeaders {
    let plan = &context.plan;
    let headers = match session {
        Some(session) => session.headers(),
        None => RequestHeaders::modern(to.version, plan.target.method(), plan.target.mcp_name()),
    };
    let mut headers = headers.with_cdn_loop(context.cdn_loop.as_ref());
    let mirrored = made
        .iter()
        .filter(|(name, _)| name.starts_with(PARAM_PREFIX));
    for (name, value) in mirrored {
        headers = headers.with(name, value);
    }
    let trace_context = plan.trace.as_ref();
    if let Some(parent) = to.traceparent.or(trace_context.map(|trace| &*trace.parent)) {
        headers = headers.with(trace::TRACEPARENT, parent);
    }
    if let Some(state) = trace_context.and_then(|trace| trace.state.as_deref()) {
        headers = headers.with(trace::TRACESTATE, state);
    }
    headers
}
