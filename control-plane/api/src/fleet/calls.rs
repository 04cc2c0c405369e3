//! Streams of records of requests: a proxy opens one to each control plane, which tells it the queries of its readers.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, Streaming};
use toolgate_control_core::port::StateReader;
use toolgate_model::Slug;
use toolgate_proto::push::v1::{CallQueries, CallReport};
use toolgate_wire::push::call_queries_to_proto;

use crate::{
    call_readers::CallReaders,
    caller::{ConnectionPeer, check_proxy_id, not_expelled},
    status,
};

/// Maximum time until the first message of a stream.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sender of the queries on a stream.
pub(super) type CallQuerySender = mpsc::Sender<Result<CallQueries, Status>>;

/// Stream of one proxy.
pub(super) struct CallStream {
    pub(super) state: Arc<dyn StateReader>,
    pub(super) readers: CallReaders,
    pub(super) peer: ConnectionPeer,
}

impl CallStream {
    /// Serves the stream until the proxy ends it, or is expelled.
    pub(super) async fn run(self, inbound: Streaming<CallReport>, sender: CallQuerySender) {
        if let Err(status) = self.serve(inbound, &sender).await {
            let _proxy_gone = sender.try_send(Err(status));
        }
    }

    async fn serve(
        &self,
        mut inbound: Streaming<CallReport>,
        sender: &CallQuerySender,
    ) -> Result<(), Status> {
        let first = timeout(FIRST_MESSAGE_TIMEOUT, inbound.message()).await;
        let first = first.map_err(|_elapsed| status::invalid("proxy_id", "did not arrive in time"));
        let Some(first) = first?? else {
            return Ok(());
        };
        let proxy: Slug = first
            .proxy_id
            .parse()
            .map_err(|invalid| status::invalid("proxy_id", invalid))?;
        check_proxy_id(&self.peer, &proxy)?;
        let mut published = self.state.watch_state();
        let mut queries = self.readers.queries();
        queries.mark_changed();
        let _registered = self.readers.register(proxy.clone());
        loop {
            not_expelled(&published.latest().state, &proxy, self.state.now())?;
            // Queries that wait for room are replaced by later ones.
            let is_due = queries.has_changed().unwrap_or_default();
            tokio::select! {
                () = sender.closed() => return Ok(()),
                room = sender.reserve(), if is_due => match room {
                    Ok(room) => {
                        let queries = Arc::clone(&queries.borrow_and_update());
                        room.send(Ok(call_queries_to_proto(&queries)));
                    }
                    Err(_closed) => return Ok(()),
                },
                changed = queries.changed(), if !is_due => {
                    // The registry lives as long as this stream.
                    let _open = changed.is_ok();
                    queries.mark_changed();
                }
                message = inbound.message() => match message? {
                    Some(report) => self.readers.deliver(&proxy, &report),
                    None => return Ok(()),
                },
                changed = published.changed() => if changed.is_err() {
                    return Err(Status::unavailable("the control plane is ending"));
                },
            }
        }
    }
}
