//! Sets the log level of a legacy server before the first call that asks for it. The call is sent in any case.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use toolgate_client::ask;
use toolgate_data_core::{
    port::UpstreamSessionHandle, refusal::UpstreamFailure,
    session::upstream_log_level::LogLevelChange,
};
use toolgate_mcp::{message, method, text::quote};
use toolgate_runtime::Drain;

use crate::{
    context::CallContext, endpoint::AuthenticatedEndpoint, failure, session::session_headers,
    upstream::Upstream,
};

/// Maximum time that a call waits for its level.
const LEVEL_TIMEOUT: Duration = Duration::from_millis(500);

/// Sets the level of the call unless it is set. A call does not wait while another call sets it.
pub(crate) async fn lower(
    link: &Arc<UpstreamSessionHandle>,
    context: &CallContext,
    upstream: &Arc<Upstream>,
    authenticated: &Arc<AuthenticatedEndpoint>,
    drain: &Drain,
) {
    let Some(lowering) = link
        .log_level
        .request(context.log_level, context.log_requested)
    else {
        return;
    };
    let endpoint = authenticated.endpoint.clone();
    let endpoint = endpoint.with_max_timeout(context.plan.server().timeouts.first_byte);
    let (link, upstream) = (Arc::clone(link), Arc::clone(upstream));
    let setting = drain.spawn("log level", async move {
        let id = link.next_id().to_string();
        let request = request(&id, lowering);
        let http = &upstream.target.http;
        let asked = ask(http, &endpoint, session_headers(&link), &id, request).await;
        if let Err(error) = asked {
            tracing::debug!(%error, level = lowering.level.as_str(), "a log level was not set");
            // Only a request that was not sent is worth another try.
            if failure::of(&error) == UpstreamFailure::Unreachable {
                link.log_level.revert(lowering);
            }
        }
    });
    // Boxed: it is rare, and the future of the call need not have room for it.
    let _late = Box::pin(timeout(LEVEL_TIMEOUT, setting)).await;
}

fn request(id: &str, lowering: LogLevelChange) -> bytes::Bytes {
    let params = format!("{{\"level\":{}}}", quote(lowering.level.as_str()));
    message::request(id, method::SET_LEVEL, Some(&params))
}

#[cfg(test)]
mod tests;
