//! Set of the peers of this proxy.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch::Receiver;
use toolgate_data_core::OwningProxy;
use toolgate_model::Slug;
use toolgate_runtime::{Drain, SharedClock, tls::FleetMembership};

use crate::{
    connection::PeerConnection,
    connector::PeerConnector,
    forwarded_request::{ForwardedRequest, filter_response},
};

/// Maximum number of peers with a connection.
const MAX_PEER_CONNECTIONS: usize = 1_024;

/// Connections to peers, created on demand.
pub struct Peers {
    proxy: Slug,
    address: OnceLock<Box<str>>,
    connector: PeerConnector,
    connections: RwLock<BTreeMap<OwningProxy, Arc<PeerConnection>>>,
}

/// Error of a request that got no response from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardError {
    /// Nothing was sent, or the peer gave the request back: the caller can handle it without the peer.
    NotSent,
    /// The request was sent and may have been executed.
    ConnectionLost,
}

impl Peers {
    /// Creates the set of peers, without connections.
    pub fn new(
        proxy: Slug,
        membership: Receiver<Option<FleetMembership>>,
        drain: Drain,
        clock: SharedClock,
    ) -> Self {
        Self {
            proxy,
            address: OnceLock::new(),
            connector: PeerConnector::new(membership, drain, clock),
            connections: RwLock::default(),
        }
    }

    /// Sets the address at which peers reach this proxy.
    pub fn set_address(&self, address: &str) {
        // Set once, at the start.
        let _again = self.address.set(address.into());
    }

    /// Returns the owner record of state that is held on this proxy.
    pub fn this_proxy(&self) -> OwningProxy {
        let address = self.address.get().map(|address| &**address);
        OwningProxy::new(self.proxy.clone(), address)
    }

    /// Returns `true` if `owner` is another proxy to which requests can be forwarded.
    pub fn is_forwardable(&self, owner: &OwningProxy) -> bool {
        owner.proxy != self.proxy && owner.address.is_some() && self.connector.has_membership()
    }

    /// Forwards a request to the owning proxy.
    pub async fn forward(
        &self,
        owner: &OwningProxy,
        request: ForwardedRequest,
    ) -> Result<Response<Incoming>, ForwardError> {
        let connection = self.connection(owner).ok_or(ForwardError::NotSent)?;
        let sender = connection.sender(&self.connector).await;
        let mut sender = sender.ok_or(ForwardError::NotSent)?;
        let request = request.into_request().ok_or(ForwardError::NotSent)?;
        match sender.try_send_request(request).await {
            Ok(response) if response.status() == StatusCode::MISDIRECTED_REQUEST => {
                Err(ForwardError::NotSent)
            }
            Ok(response) => Ok(filter_response(response)),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                tracing::debug!(proxy = %owner.proxy, error = %error.error(), unsent, "the connection to a peer was lost");
                Err(if unsent {
                    ForwardError::NotSent
                } else {
                    ForwardError::ConnectionLost
                })
            }
        }
    }

    fn connection(&self, owner: &OwningProxy) -> Option<Arc<PeerConnection>> {
        let connections = self
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(owner) {
            return Some(Arc::clone(connection));
        }
        drop(connections);
        let mut connections = self
            .connections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= MAX_PEER_CONNECTIONS {
            // Drops unused connections; a peer that is needed again is connected again.
            connections.retain(|_owner, connection| Arc::strong_count(connection) > 1);
        }
        if connections.len() >= MAX_PEER_CONNECTIONS {
            return None;
        }
        let connection = connections
            .entry(owner.clone())
            .or_insert_with(|| Arc::new(PeerConnection::new(owner.clone())));
        Some(Arc::clone(connection))
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers(of {})", self.proxy)
    }
}
