//! A call as it leaves for its server: the version that is spoken, the body, the headers.

use std::borrow::Cow;

use toolgate_client::RequestHeaders;
use toolgate_data_core::{
    ServerView,
    plan::CallPlan,
    port::UpstreamSessionHandle,
    refusal::UpstreamFailure,
    rewrite::{self, UpstreamRequest, UpstreamRequestOptions, request},
};
use toolgate_mcp::{headers::PARAM_PREFIX, trace, versions};

use crate::{again::Again, call::Order, flight::session_headers};

/// The version to speak.
pub(crate) fn version<'a>(
    server: &'a ServerView,
    link: Option<&'a UpstreamSessionHandle>,
) -> &'a str {
    match link {
        Some(facts) => &facts.handshake.version,
        None => server
            .protocol_version
            .as_deref()
            .unwrap_or(versions::MODERN),
    }
}

/// The call as it goes out.
pub(crate) fn rewritten<'a>(
    order: &'a Order,
    to: &UpstreamRequestOptions<'a>,
    again: Option<&Again>,
) -> Result<UpstreamRequest<'a>, UpstreamFailure> {
    // Cannot be: the spans come from these bytes.
    let impossible = |_edit| UpstreamFailure::Malformed;
    let mut request = request(&order.body, &order.plan, to).map_err(impossible)?;
    if let Some(Again { responses, state }) = again {
        let with = rewrite::again(&request.body, responses.as_deref(), state.as_deref());
        request.body = with.map_err(impossible)?;
    } else if order.plan.is_continuation() {
        // What the client came back with was for us.
        request.body = rewrite::again(&request.body, None, None).map_err(impossible)?;
    }
    Ok(request)
}

/// The headers of the era; of those that were made for the request, only mirrored arguments are not known beforehand.
pub(crate) fn outgoing(
    made: &[(Cow<'_, str>, Cow<'_, str>)],
    link: Option<&UpstreamSessionHandle>,
    version: &str,
    plan: &CallPlan,
    traceparent: Option<&str>,
) -> RequestHeaders {
    let mut headers = match link {
        Some(facts) => session_headers(facts),
        None => RequestHeaders::modern(version, plan.target.method(), plan.target.mcp_name()),
    };
    let mirrored = made
        .iter()
        .filter(|(name, _)| name.starts_with(PARAM_PREFIX));
    for (name, value) in mirrored {
        headers = headers.with(name, value);
    }
    let told = plan.trace.as_ref();
    if let Some(parent) = traceparent.or(told.map(|trace| &*trace.parent)) {
        headers = headers.with(trace::TRACEPARENT, parent);
    }
    if let Some(state) = told.and_then(|trace| trace.state.as_deref()) {
        headers = headers.with(trace::TRACESTATE, state);
    }
    headers
}
