//! Refusals of requests that no client gets. They are posted at once, so that the server need not wait, and bounded per
//! session.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use toolgate_client::{RequestHeaders, send};
use toolgate_runtime::Drain;

use crate::{endpoint::AuthenticatedEndpoint, session::UpstreamSessionHandle, upstream::Upstream};

/// Timeout of a message whose response is not awaited.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts a refusal within a session, unless too many are in flight there.
pub(crate) fn refuse(
    session: &Arc<UpstreamSessionHandle>,
    upstream: &Arc<Upstream>,
    endpoint: &AuthenticatedEndpoint,
    drain: &Drain,
    answer: Bytes,
) {
    let Some(permit) = session.acquire_rejection_permit() else {
        return;
    };
    let headers = session.headers();
    let endpoint = endpoint.within(RESPONSE_TIMEOUT);
    let upstream = Arc::clone(upstream);
    drop(drain.spawn("answer to a server", async move {
        // Best effort.
        let _sent = send(&upstream.target.http, &endpoint, headers, answer).await;
        drop(permit);
    }));
}

/// Posts a refusal to a modern server, which has no requests to send, unless too many messages to it are in flight.
pub(crate) fn refuse_modern(
    upstream: &Arc<Upstream>,
    endpoint: &AuthenticatedEndpoint,
    drain: &Drain,
    answer: Bytes,
) {
    let Some(permit) = upstream.message_permit() else {
        return;
    };
    let endpoint = endpoint.within(RESPONSE_TIMEOUT);
    let upstream = Arc::clone(upstream);
    drop(drain.spawn("answer to a server", async move {
        let headers = RequestHeaders::modern_response();
        // Best effort.
        let _sent = send(&upstream.target.http, &endpoint, headers, answer).await;
        drop(permit);
    }));
}

#[cfg(test)]
mod tests;
