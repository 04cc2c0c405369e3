//! Connection to one peer. It is opened for the first request and again after it was lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use tokio::{sync::Mutex, time::timeout};
use toolgate_data_core::OwningProxy;

use crate::connector::PeerConnector;

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Delay before a peer that could not be reached is tried again.
const RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// Connection to one peer.
pub(crate) struct PeerConnection {
    peer: OwningProxy,
    state: Mutex<ConnectionState>,
}

#[derive(Default)]
struct ConnectionState {
    sender: Option<SendRequest<Full<Bytes>>>,
    not_before: Option<Instant>,
}

impl PeerConnection {
    /// Creates the connection, not open yet.
    pub(crate) fn new(peer: OwningProxy) -> Self {
        Self {
            peer,
            state: Mutex::default(),
        }
    }

    /// Returns an open connection, or opens one. One task at a time connects.
    pub(crate) async fn sender(
        &self,
        connector: &PeerConnector,
    ) -> Option<SendRequest<Full<Bytes>>> {
        let mut state = self.state.lock().await;
        if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(sender.clone());
        }
        state.sender = None;
        let now = connector.monotonic();
        if state.not_before.is_some_and(|time| now < time) {
            return None;
        }
        let sender = timeout(CONNECT_TIMEOUT, connector.connect(&self.peer)).await;
        let sender = sender.ok().flatten();
        state.sender.clone_from(&sender);
        if sender.is_none() {
            tracing::info!(proxy = %self.peer.proxy, "a peer cannot be reached; its sessions are served here");
            state.not_before = Some(connector.monotonic() + RECONNECT_DELAY);
        }
        sender
    }
}
