//! Connections within the deployment, to a control plane and between proxies: to the address configured by the
//! operator, without vetting, over TLS with certificates of the deployment, or in process memory.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use toolgate_runtime::memory::MemoryDialer;

mod diagnosis;
mod problem;

pub use problem::{ConnectProblem, ControlConnectError};

/// Timeout for TCP connect and TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS client configuration and the expected server name of the control plane.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// See `toolgate_runtime::tls::client`.
    pub config: Arc<ClientConfig>,
    /// Name that the control plane's certificate must be valid for.
    pub server_name: ServerName<'static>,
}

/// Connector of a gRPC channel: a `Service<Uri>` for tonic's `connect_with_connector`. The URI passed by tonic is
/// ignored. Give the tonic endpoint any `http://` URI, since TLS is handled here.
#[derive(Clone)]
pub struct ControlConnector(ControlTransport);

#[derive(Clone)]
enum ControlTransport {
    Network {
        address: Arc<str>,
        tls: Option<ClientTls>,
    },
    Memory(MemoryDialer),
}

/// Connection to the control plane.
pub struct ControlStream(Box<dyn DuplexIo>);

trait DuplexIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> DuplexIo for S {}

/// Returns a connector to `address` (`host:port`), over TLS if `tls` is given.
pub fn control_channel(address: &str, tls: Option<ClientTls>) -> ControlConnector {
    ControlConnector(ControlTransport::Network {
        address: address.into(),
        tls,
    })
}

impl ControlConnector {
    /// Returns a connector to a control plane in the same process.
    pub fn memory(dialer: MemoryDialer) -> Self {
        Self(ControlTransport::Memory(dialer))
    }
}

impl ControlConnector {
    /// Opens one connection.
    pub async fn open(&self) -> io::Result<ControlStream> {
        self.0.clone().open().await
    }

    /// Returns why connections break that this connector has opened, if that shows: a connection in clear text to a peer with
    /// TLS, or to one without HTTP/2, is opened all the same.
    pub async fn diagnose(&self) -> Option<ControlConnectError> {
        match &self.0 {
            ControlTransport::Network { address, tls: None } => {
                diagnosis::of_clear_text(address).await
            }
            ControlTransport::Network { tls: Some(_), .. } | ControlTransport::Memory(_) => None,
        }
    }
}

impl ControlTransport {
    async fn open(self) -> io::Result<ControlStream> {
        match self {
            Self::Memory(dialer) => Ok(ControlStream(Box::new(dialer.dial().await?))),
            Self::Network { address, tls } => {
                let opening = timeout(CONNECT_TIMEOUT, Self::dial(&address, tls)).await;
                let late = |_elapsed| {
                    let problem = ConnectProblem::Timeout;
                    Err(ControlConnectError::new(Arc::clone(&address), problem))
                };
                Ok(opening.unwrap_or_else(late)?)
            }
        }
    }

    async fn dial(
        address: &Arc<str>,
        tls: Option<ClientTls>,
    ) -> Result<ControlStream, ControlConnectError> {
        let tcp = connect_to(address).await?;
        let Some(tls) = tls else {
            return Ok(ControlStream(Box::new(tcp)));
        };
        let handshake = TlsConnector::from(tls.config).connect(tls.server_name, tcp);
        match handshake.await {
            Ok(stream) => Ok(ControlStream(Box::new(stream))),
            Err(error) => Err(ControlConnectError::of_handshake(address, error)),
        }
    }
}

/// Opens a connection to an address of the operator.
#[expect(
    clippy::disallowed_methods,
    reason = "the control plane's address is the operator's own"
)]
async fn connect_to(address: &Arc<str>) -> Result<TcpStream, ControlConnectError> {
    let resolved = lookup_host(&**address).await;
    let resolved: Vec<_> = match resolved {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(ControlConnectError::unresolved(address, error)),
    };
    let tcp = TcpStream::connect(&*resolved).await;
    let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
    tcp.map_err(|error| ControlConnectError::of_connect(address, error))
}

impl tower::Service<Uri> for ControlConnector {
    type Response = TokioIo<ControlStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move { way.open().await.map(TokioIo::new) })
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

impl fmt::Debug for ControlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ControlTransport::Network { address, tls } => {
                write!(f, "ControlConnector({address}, tls: {})", tls.is_some())
            }
            ControlTransport::Memory(_) => f.write_str("ControlConnector(memory)"),
        }
    }
}

impl fmt::Debug for ControlStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlStream")
    }
}
