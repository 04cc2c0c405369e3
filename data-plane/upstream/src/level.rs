//! Tells a legacy server what log messages are wanted of it, before the first call that wants them. Whatever comes of it,
//! the call is made.

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
    call::Order,
    failure,
    flight::session_headers,
    station::Station,
    upstream::{Presented, Target},
};

/// A call waits no longer than this for its level.
const HEAD_START: Duration = Duration::from_millis(500);

/// Has the level of the call set, if nobody has yet. Where another call is about to, this one does not wait for it.
pub(crate) async fn lower(
    link: &Arc<UpstreamSessionHandle>,
    order: &Order,
    station: &Arc<Station<Target>>,
    presented: &Arc<Presented>,
    drain: &Drain,
) {
    let Some(lowering) = link.log_level.request(order.log_level, order.log_asked) else {
        return;
    };
    let endpoint = presented.endpoint.clone();
    let endpoint = endpoint.with_max_timeout(order.plan.server().timeouts.first_byte);
    let (link, station) = (Arc::clone(link), Arc::clone(station));
    let setting = drain.spawn("log level", async move {
        let id = link.next_id().to_string();
        let request = request(&id, lowering);
        let http = &station.target.http;
        let asked = ask(http, &endpoint, session_headers(&link), &id, request).await;
        if let Err(error) = asked {
            tracing::debug!(%error, level = lowering.level.as_str(), "a log level was not set");
            // What it has heard of it will not hear better the second time.
            if failure::of(&error) == UpstreamFailure::Unreachable {
                link.log_level.revert(lowering);
            }
        }
    });
    // Boxed, since it is rare: the call keeps no room for it.
    let _late = Box::pin(timeout(HEAD_START, setting)).await;
}

fn request(id: &str, lowering: LogLevelChange) -> bytes::Bytes {
    let params = format!("{{\"level\":{}}}", quote(lowering.level.as_str()));
    message::request(id, method::SET_LEVEL, Some(&params))
}
