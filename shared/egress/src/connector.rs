//! The vetting connector: resolves a host, vets every address, connects to a vetted one and performs the TLS handshake
//! with the host name of the URL. One deadline covers all steps.
//!
//! A connection through a forward proxy ends at an address that the proxy chooses. What can be known here is vetted all the
//! same: an address in the URL, and the addresses that the name has here, if it has any.

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
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use crate::{
    certificate::CertificateProblem,
    error::EgressError,
    exhaustion::{DialError, ExhaustionLog},
    forward_proxy::{ForwardProxy, ForwardProxyProblem},
    name_cache::{NameCache, NameLookUp},
    policy::{self, EgressPolicy},
    resolve::HostResolver,
};

/// Connector of the pooling client.
pub(crate) struct VettingConnector {
    pub(crate) policy: Arc<EgressPolicy>,
    pub(crate) resolver: Arc<dyn HostResolver>,
    /// Addresses of names that a proxy resolves too.
    pub(crate) proxied_names: Arc<NameCache>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) connect_timeout: Duration,
    pub(crate) exhaustion: Arc<ExhaustionLog>,
}

/// Maximum time to resolve a name that a proxy resolves too.
const PROXIED_RESOLUTION: Duration = Duration::from_secs(1);

/// Host and port of a URL, before resolution.
struct ConnectTarget {
    host: String,
    port: u16,
    /// Name that the certificate is verified against; `None` for plain HTTP.
    tls_name: Option<ServerName<'static>>,
}

pub(crate) type TransportStream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl VettingConnector {
    /// Connects to the host and port of `uri`, until `deadline`. A connection for an http URL that goes through a proxy is one
    /// to the proxy.
    pub(crate) async fn connect(
        &self,
        uri: &Uri,
        deadline: Instant,
    ) -> Result<TransportStream, EgressError> {
        let target = ConnectTarget::of(uri)?;
        let host = target.host.clone();
        let Some(proxy) = self.policy.proxies.of(uri) else {
            let connected = timeout_at(deadline, self.establish(target, deadline)).await;
            return connected.unwrap_or(Err(EgressError::ConnectTimeout { host }));
        };
        let establishing = self.establish_through(&proxy, target, deadline);
        let connected = timeout_at(deadline, establishing).await;
        connected.unwrap_or_else(|_elapsed| Err(through(&proxy, ForwardProxyProblem::TimedOut)))
    }

    async fn establish(
        &self,
        target: ConnectTarget,
        deadline: Instant,
    ) -> Result<TransportStream, EgressError> {
        let addresses = self.vet_addresses(&target).await?;
        let tcp = self.connect_first(target.port, &addresses, deadline).await;
        let tcp = tcp.map_err(|error| match error {
            DialError::Exhausted(source) => self.exhausted(source),
            DialError::Failed(source) => EgressError::Connect {
                host: target.host.clone(),
                source,
            },
        })?;
        self.secure(tcp, target.tls_name).await
    }

    async fn establish_through(
        &self,
        proxy: &ForwardProxy,
        target: ConnectTarget,
        deadline: Instant,
    ) -> Result<TransportStream, EgressError> {
        self.vet_proxied(&target).await?;
        let tcp = self.dial_proxy(proxy, deadline).await;
        let tcp = tcp.map_err(|error| match error {
            DialError::Exhausted(source) => self.exhausted(source),
            DialError::Failed(source) => through(proxy, ForwardProxyProblem::Connect(source)),
        })?;
        if target.tls_name.is_none() {
            return Ok(MaybeHttpsStream::Http(TokioIo::new(tcp)));
        }
        let tunnel = proxy.tunnel(tcp, &target.authority()).await;
        let tcp = tunnel.map_err(|problem| through(proxy, problem))?;
        self.secure(tcp, target.tls_name).await
    }

    /// Performs the TLS handshake if there is a name to verify.
    async fn secure(
        &self,
        tcp: TcpStream,
        tls_name: Option<ServerName<'static>>,
    ) -> Result<TransportStream, EgressError> {
        let Some(name) = tls_name else {
            return Ok(MaybeHttpsStream::Http(TokioIo::new(tcp)));
        };
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, TokioIo::new(TokioIo::new(tcp)));
        let tls = tls.await.map_err(|error| {
            let detail = error.to_string();
            match CertificateProblem::of(&error) {
                Some(problem) => EgressError::Certificate { problem, detail },
                None => EgressError::Tls(detail),
            }
        })?;
        Ok(MaybeHttpsStream::Https(TokioIo::new(tls)))
    }

    /// Vets what is known of a target that a proxy connects to. A name that cannot be resolved here in a short time is left
    /// to the proxy: in networks that require a proxy, public names often cannot be resolved.
    async fn vet_proxied(&self, target: &ConnectTarget) -> Result<(), EgressError> {
        let host = match target.host.parse::<IpAddr>() {
            Ok(address) => return self.vet_one(address, target),
            Err(_name) => url::Host::parse(&target.host),
        };
        match host {
            Ok(url::Host::Ipv4(address)) => return self.vet_one(address.into(), target),
            Ok(url::Host::Ipv6(address)) => return self.vet_one(address.into(), target),
            Ok(url::Host::Domain(name)) if policy::names_metadata(&name) => {
                return Err(EgressError::Url("its host is a cloud's metadata service"));
            }
            Ok(url::Host::Domain(_)) => {}
            Err(_invalid) => return Err(EgressError::Url("its host is not a name")),
        }
        let limit = proxied_resolution(self.connect_timeout);
        let look_up = async {
            let resolved = timeout(limit, self.resolver.resolve(&target.host)).await;
            NameLookUp::from(resolved)
        };
        let addresses = self.proxied_names.get(&target.host, look_up).await;
        if addresses.is_empty() {
            let allowed = target.tls_name.is_some() || self.policy.allow_plain_http;
            return allowed.then_some(()).ok_or(EgressError::Url(
                "plain http, through a proxy, to a name without an address here: use https, or allow plain http",
            ));
        }
        for address in addresses.iter() {
            self.vet_one(*address, target)?;
        }
        Ok(())
    }

    fn vet_one(&self, address: IpAddr, target: &ConnectTarget) -> Result<(), EgressError> {
        policy::vet(address, &self.policy)?;
        if target.tls_name.is_none() {
            policy::vet_plain(address, &self.policy)?;
        }
        Ok(())
    }

    /// Connects to a proxy. Its address is the operator's own and is not vetted.
    async fn dial_proxy(
        &self,
        proxy: &ForwardProxy,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let addresses = match proxy.host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_name) => {
                let resolved = self.resolver.resolve(&proxy.host).await;
                resolved.map_err(DialError::of_resolution)?
            }
        };
        self.connect_first(proxy.port, &addresses, deadline).await
    }

    /// Resolves the target and vets every address. A host with one forbidden address is rejected as a whole: its other
    /// addresses are not trusted either.
    async fn vet_addresses(&self, target: &ConnectTarget) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = match target.host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_name) => self.resolve_host(&target.host).await?,
        };
        for address in &addresses {
            self.vet_one(*address, target)?;
        }
        Ok(addresses)
    }

    async fn resolve_host(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let failed = |source| EgressError::Resolve {
            host: host.to_owned(),
            source,
        };
        let addresses = self.resolver.resolve(host).await;
        let addresses = addresses.map_err(|error| match DialError::of_resolution(error) {
            DialError::Exhausted(source) => self.exhausted(source),
            DialError::Failed(source) => failed(source),
        })?;
        if addresses.is_empty() {
            return Err(failed(io::Error::other("it has no address")));
        }
        Ok(addresses)
    }

    /// Tries the addresses in order. Each gets an equal part of the time until `deadline`, so that an unresponsive first
    /// address leaves time for the others.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that opens a socket to a vetted address, or to the operator's proxy"
    )]
    async fn connect_first(
        &self,
        port: u16,
        addresses: &[IpAddr],
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let time = deadline.saturating_duration_since(Instant::now());
        let share = equal_share(time, addresses.len());
        let mut last = io::Error::other("it has no address");
        for address in addresses {
            let opening = TcpStream::connect(SocketAddr::new(*address, port));
            match timeout(share, opening).await {
                Ok(Ok(stream)) => {
                    // Requests are small and written as a whole: Nagle's algorithm would only delay them.
                    let _kept_as_is = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => match DialError::of(error, *address) {
                    DialError::Failed(error) => last = error,
                    // No other address can be reached either.
                    exhausted @ DialError::Exhausted(_) => return Err(exhausted),
                },
                Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(DialError::Failed(last))
    }

    fn exhausted(&self, source: io::Error) -> EgressError {
        self.exhaustion.record(&source);
        EgressError::Exhausted(source)
    }
}

/// Returns the time to resolve a name that a proxy resolves too: most of the time to connect is left to the proxy.
fn proxied_resolution(connect_timeout: Duration) -> Duration {
    PROXIED_RESOLUTION.min(connect_timeout / 4)
}

/// Returns the part of `time` for each of `addresses` addresses.
fn equal_share(time: Duration, addresses: usize) -> Duration {
    time / u32::try_from(addresses).unwrap_or(u32::MAX).max(1)
}

fn through(proxy: &ForwardProxy, problem: ForwardProxyProblem) -> EgressError {
    EgressError::ForwardProxy {
        proxy: proxy.to_string(),
        problem,
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

    /// Returns host and port as `CONNECT` has them.
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests;
