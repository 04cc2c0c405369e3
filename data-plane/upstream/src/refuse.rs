//! What a legacy server asks of nobody here is refused at once, that it need not wait; but one that asks and asks is not
//! answered for ever.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use toolgate_client::send;
use toolgate_data_core::port::UpstreamSessionHandle;
use toolgate_runtime::Drain;

use crate::{
    flight::session_headers,
    station::Station,
    upstream::{Presented, Target},
};

/// How long a server may take to hear what it need not answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Posts this answer within the session of a link, unless too many are under way there.
pub(crate) fn refuse(
    link: &Arc<UpstreamSessionHandle>,
    station: &Arc<Station<Target>>,
    presented: &Presented,
    drain: &Drain,
    answer: Bytes,
) {
    let Some(refusing) = link.acquire_rejection_permit() else {
        return;
    };
    let headers = session_headers(link);
    let endpoint = presented.within(PATIENCE);
    let station = Arc::clone(station);
    drop(drain.spawn("answer to a server", async move {
        // Accepted or not, there is nothing more to do about it.
        let _sent = send(&station.target.http, &endpoint, headers, answer).await;
        drop(refusing);
    }));
}
