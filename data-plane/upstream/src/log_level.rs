//! Sets the log level of a legacy server before the first call that asks for it. The call is sent in any case.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use toolgate_client::ask;
use toolgate_data_core::{refusal::UpstreamFailure, session::upstream_log_level::LogLevelChange};
use toolgate_mcp::{message, method, text::quote};
use toolgate_runtime::Drain;

use crate::{
    context::CallContext, endpoint::AuthenticatedEndpoint, failure, session::UpstreamSessionHandle,
    upstream::Upstream,
};

/// Maximum time that a call waits for its level.
const LEVEL_TIMEOUT: Duration = Duration::from_millis(500);

/// Sets the level of the call unless it is set. A call does not wait while another call sets it.
pub(crate) async fn set_level(
    session: &Arc<UpstreamSessionHandle>,
    context: &CallContext,
    upstream: &Arc<Upstream>,
    authenticated: &Arc<AuthenticatedEndpoint>,
    drain: &Drain,
) {
    let Some(change) = session
        .log_level
        .request(context.log_level, context.log_requested)
    else {
        return;
    };
    let endpoint = authenticated.endpoint.clone();
    let endpoint = endpoint.with_max_timeout(context.plan.server().timeouts.first_byte);
    let (session, upstream) = (Arc::clone(session), Arc::clone(upstream));
    let setting = drain.spawn("log level", async move {
        let id = session.next_id().to_string();
        let request = request(&id, change);
        let http = &upstream.target.http;
        let result = ask(http, &endpoint, session.headers(), &id, request).await;
        if let Err(error) = result {
            tracing::debug!(%error, level = change.level.as_str(), "a log level was not set");
            // Only a request that was not sent is worth another try.
            if matches!(
                failure::of(&error),
                UpstreamFailure::Unreachable | UpstreamFailure::ResourcesExhausted
            ) {
                session.log_level.revert(change);
            }
        }
    });
    // Boxed: it is rare, and the future of the call need not have room for it.
    let _late = Box::pin(timeout(LEVEL_TIMEOUT, setting)).await;
}

fn request(id: &str, change: LogLevelChange) -> bytes::Bytes {
    let params = format!("{{\"level\":{}}}", quote(change.level.as_str()));
    message::request(id, method::SET_LEVEL, Some(&params))
}

#[cfg(test)]
mod tests;
