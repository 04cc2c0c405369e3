//! The vetting connector: resolves a host, vets every address, connects to a vetted one and performs the TLS handshake
//! with the host name of the URL. One deadline covers all steps.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    error::EgressError,
    policy::{self, EgressPolicy},
    resolve::HostResolver,
};

/// Connector of the pooling client.
pub(crate) struct VettingConnector {
    pub(crate) policy: Arc<EgressPolicy>,
    pub(crate) resolver: Arc<dyn HostResolver>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) connect_timeout: Duration,
}

/// Host and port of a URL, before resolution.
struct ConnectTarget {
    host: String,
    port: u16,
    /// Name that the certificate is verified against; `None` for plain HTTP.
    tls_name: Option<ServerName<'static>>,
}

pub(crate) type TransportStream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl VettingConnector {
    /// Connects to the host and port of `uri`.
    pub(crate) async fn connect(&self, uri: &Uri) -> Result<TransportStream, EgressError> {
        let target = ConnectTarget::of(uri)?;
        let host = target.host.clone();
        let connected = timeout(self.connect_timeout, self.establish(target)).await;
        connected.unwrap_or(Err(EgressError::ConnectTimeout { host }))
    }

    async fn establish(&self, target: ConnectTarget) -> Result<TransportStream, EgressError> {
        let addresses = self.vet_addresses(&target).await?;
        let tcp = self.connect_first(&target, &addresses).await?;
        let Some(name) = target.tls_name else {
            return Ok(MaybeHttpsStream::Http(TokioIo::new(tcp)));
        };
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, TokioIo::new(TokioIo::new(tcp)));
        let tls = tls
            .await
            .map_err(|error| EgressError::Tls(error.to_string()))?;
        Ok(MaybeHttpsStream::Https(TokioIo::new(tls)))
    }

    /// Resolves the target and vets every address. A host with one forbidden address is rejected as a whole: its other
    /// addresses are not trusted either.
    async fn vet_addresses(&self, target: &ConnectTarget) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = match target.host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_name) => self.resolve_host(&target.host).await?,
        };
        for address in &addresses {
            policy::vet(*address, &self.policy)?;
            if target.tls_name.is_none() {
                policy::vet_plain(*address, &self.policy)?;
            }
        }
        Ok(addresses)
    }

    async fn resolve_host(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let failed = |source| EgressError::Resolve {
            host: host.to_owned(),
            source,
        };
        let addresses = self.resolver.resolve(host).await.map_err(failed)?;
        if addresses.is_empty() {
            return Err(failed(io::Error::other("it has no address")));
        }
        Ok(addresses)
    }

    /// Tries the addresses in order. Each gets an equal part of the timeout, so that an unresponsive first address
    /// leaves time for the others.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that opens a socket to a vetted address"
    )]
    async fn connect_first(
        &self,
        target: &ConnectTarget,
        addresses: &[IpAddr],
    ) -> Result<TcpStream, EgressError> {
        let share =
            self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::Error::other("it has no address");
        for address in addresses {
            let opening = TcpStream::connect(SocketAddr::new(*address, target.port));
            match timeout(share, opening).await {
                Ok(Ok(stream)) => {
                    // Requests are small and written as a whole: Nagle's algorithm would only delay them.
                    let _kept_as_is = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(EgressError::Connect {
            host: target.host.clone(),
            source: last,
        })
    }
}

impl ConnectTarget {
    fn of(uri: &Uri) -> Result<Self, EgressError> {
        let authority = uri
            .authority()
            .ok_or(EgressError::Url("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(EgressError::Url("it holds a user name"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let plain = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => false,
            Some(scheme) if *scheme == Scheme::HTTP => true,
            Some(_) | None => return Err(EgressError::Url("neither http nor https")),
        };
        let port = authority.port_u16().unwrap_or(if plain { 80 } else { 443 });
        if !policy::vet_port(port) {
            return Err(EgressError::Url("its port belongs to another protocol"));
        }
        let name = || {
            let name = ServerName::try_from(host.clone());
            name.map_err(|_invalid| EgressError::Url("its host is not a name"))
        };
        let tls_name = if plain { None } else { Some(name()?) };
        Ok(Self {
            host,
            port,
            tls_name,
        })
    }
}
