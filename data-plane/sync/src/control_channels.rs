//! Connections to control planes: tried in turn and reopened when they break. If TLS is used, there are none until the
//! proxy has a certificate.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::sync::{OnceCell, watch};
use tonic::transport::{Channel, Endpoint};
use toolgate_egress::{
    ClientTls, ControlConnectError, ControlConnector,
    control::{ControlStream, control_channel},
};
use toolgate_runtime::tls::{self, ReloadableIdentity, TlsError};

/// Channels to the control plane, available once a connector is set.
#[derive(Debug, Clone)]
pub(crate) struct ControlChannels {
    connector: watch::Receiver<Option<RoundRobinConnector>>,
    shared: Arc<OnceCell<Channel>>,
}

/// Sets the connector of [`ControlChannels`].
#[derive(Debug)]
pub(crate) struct ConnectorSetter(watch::Sender<Option<RoundRobinConnector>>);

/// Connector that rotates through several control planes, one per connection.
#[derive(Debug, Clone)]
pub(crate) struct RoundRobinConnector {
    connectors: Arc<[ControlConnector]>,
    next: Arc<AtomicUsize>,
}

/// Creates channels without a connector.
pub(crate) fn unset() -> (ConnectorSetter, ControlChannels) {
    let (sender, connector) = watch::channel(None);
    let side = Arc::default();
    (
        ConnectorSetter(sender),
        ControlChannels {
            connector,
            shared: side,
        },
    )
}

impl ConnectorSetter {
    pub(crate) fn set(&self, connector: RoundRobinConnector) {
        self.0.send_replace(Some(connector));
    }
}

impl ControlChannels {
    /// Returns a channel with a connection of its own, opened on first use and reopened when it breaks. Waits for the
    /// connector.
    pub(crate) async fn new_channel(&self) -> Channel {
        let mut connector = self.connector.clone();
        let known = connector
            .wait_for(Option::is_some)
            .await
            .map(|known| known.clone());
        match known {
            Ok(Some(connector)) => connector.channel(),
            // The setter's task has ended, so the process is shutting down and the caller's task ends too.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl ControlChannels {
    /// Returns a receiver of the connector, which is `None` until it is set.
    pub(crate) fn connector(&self) -> watch::Receiver<Option<RoundRobinConnector>> {
        self.connector.clone()
    }

    /// Returns why connections break, if that shows at one of the control planes.
    pub(crate) async fn diagnose(&self) -> Option<ControlConnectError> {
        let connector = self.connector.borrow().clone()?;
        for connector in &*connector.connectors {
            if let Some(found) = connector.diagnose().await {
                return Some(found);
            }
        }
        None
    }

    /// Returns the channel shared by unary requests, apart from those of the streams.
    pub(crate) async fn shared_channel(&self) -> Channel {
        self.shared.get_or_init(|| self.new_channel()).await.clone()
    }
}

impl RoundRobinConnector {
    pub(crate) fn new(connectors: Vec<ControlConnector>) -> Self {
        Self {
            connectors: connectors.into(),
            next: Arc::default(),
        }
    }

    /// Creates a connector without TLS.
    pub(crate) fn plain(addresses: &[String]) -> Self {
        Self::new(
            addresses
                .iter()
                .map(|address| control_channel(address, None))
                .collect(),
        )
    }

    /// Creates a connector that trusts `ca` and presents `identity`, if any.
    pub(crate) fn over_tls(
        addresses: &[String],
        ca: &[CertificateDer<'static>],
        identity: Option<&ReloadableIdentity>,
    ) -> Result<Self, TlsError> {
        let config = tls::client(ca, identity, tls::ALPN_H2)?;
        let connector = |address: &String| {
            let server_name = server_name(address)?;
            let tls = ClientTls {
                config: Arc::clone(&config),
                server_name,
            };
            Ok(control_channel(address, Some(tls)))
        };
        let connectors = addresses
            .iter()
            .map(connector)
            .collect::<Result<_, TlsError>>()?;
        Ok(Self::new(connectors))
    }

    /// Returns a connector for each of the control planes.
    pub(crate) fn each(&self) -> Vec<Self> {
        let each = self.connectors.iter();
        each.map(|connector| Self::new(vec![connector.clone()]))
            .collect()
    }

    pub(crate) fn channel(self) -> Channel {
        // Placeholder URI: the connector knows its address and handles TLS.
        Endpoint::from_static("http://control-plane.toolgate")
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .initial_connection_window_size(4 * 1024 * 1024)
            .initial_stream_window_size(2 * 1024 * 1024)
            .connect_with_connector_lazy(self)
    }
}

/// Returns the name that the certificate of `host:port` must contain.
fn server_name(address: &str) -> Result<ServerName<'static>, TlsError> {
    let host = address
        .rsplit_once(':')
        .map_or(address, |(host, _port)| host);
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let unusable = |_invalid| TlsError::Unusable(format!("`{address}` is not `host:port`"));
    ServerName::try_from(host).map_err(unusable)
}

impl tower::Service<Uri> for RoundRobinConnector {
    type Response = TokioIo<ControlStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.connectors.len().max(1);
        let Some(mut connector) = self.connectors.get(next).cloned() else {
            return Box::pin(async { Err(io::Error::other("no control plane is configured")) });
        };
        connector.call(uri)
    }
}

#[cfg(test)]
mod tests;
