//! Probe of an upstream session: a ping in it, after a request was refused there.

use std::sync::Arc;

use toolgate_client::{ClientError, ask};
use toolgate_data_core::{
    call::{PingOutcome, SessionRefusal},
    refusal::UpstreamFailure,
    view::ServerView,
};
use toolgate_mcp::{message, method};
use toolgate_model::Principal;

use crate::{failure, registry::UpstreamRegistry, session::UpstreamSessionHandle};

/// Pings the server in a session, once more if the connection of the first ping breaks.
pub(crate) async fn ping(
    registry: &UpstreamRegistry,
    (server, principal): (&Arc<ServerView>, &Principal),
    session: &UpstreamSessionHandle,
) -> PingOutcome {
    if session.is_stream_closed() {
        return PingOutcome::StreamEnded;
    }
    let Ok(upstream) = registry.upstream(server) else {
        return PingOutcome::NoResponse;
    };
    let Ok(authenticated) = registry.authenticated_endpoint(&upstream, principal).await else {
        return PingOutcome::NoResponse;
    };
    let id = session.next_id().to_string();
    let request = message::request(&id, method::PING, None);
    let endpoint = authenticated.endpoint.clone();
    let endpoint = endpoint.with_max_timeout(server.timeouts.first_byte);
    let http = &upstream.target.http;
    let mut pinged = ask(http, &endpoint, session.headers(), &id, request.clone()).await;
    if pinged.as_ref().is_err_and(is_broken) {
        pinged = ask(http, &endpoint, session.headers(), &id, request).await;
    }
    outcome(pinged)
}

fn is_broken(error: &ClientError) -> bool {
    matches!(failure::of(error), UpstreamFailure::Broken)
}

fn outcome(pinged: Result<(), ClientError>) -> PingOutcome {
    let Err(error) = pinged else {
        return PingOutcome::Answered;
    };
    let status = error.status().map(|status| status.as_u16());
    let refusal = match (status, error.rpc()) {
        (Some(status @ 400..), _) => SessionRefusal::Status(status),
        (_, Some(error)) => SessionRefusal::Error(error.code),
        (_, None) => return PingOutcome::NoResponse,
    };
    PingOutcome::Refused(refusal)
}
