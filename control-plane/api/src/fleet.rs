//! Fleet listener: the services that proxies call. With mutual TLS, the client certificate identifies the proxy. A
//! client without a certificate can only join.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state};
use rustls::ServerConfig;
use tokio::{io::DuplexStream, net::TcpListener, sync::Semaphore};
use tonic::service::Routes;
use toolgate_actor::ActorSystem;
use toolgate_control_core::port::{
    CertificateAuthority, CommandWriter, SecretSealer, StateReader, TokenIssuer,
};
use toolgate_proto::{
    credential::v1::credentials_server::CredentialsServer,
    push::v1::{fleet_server::FleetServer, push_server::PushServer},
};
use toolgate_runtime::{Drain, Metrics, Readiness};

use crate::{
    access_control::{self, AccessControl, UnknownTokens},
    call_readers::CallReaders,
    caller::ConnectionPeer,
    control_api::{ControlApi, KeyringReader},
    health,
    listen::{self, ServeOptions},
    rights::ListenerKind,
};

mod calls;
mod credentials;
mod feed;
mod membership;
mod revocations;
mod subscribe;
mod unreferenced;

/// Maximum size of a message, in bytes. The list of resource digests that a proxy holds can be long.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Maximum number of concurrent requests on the whole listener.
const MAX_REQUESTS: usize = 4096;
/// Maximum time until a response begins.
const DEADLINE: Duration = Duration::from_secs(30);
/// Maximum time a connection may take to end when the process drains.
const GRACE_PERIOD: Duration = Duration::from_secs(5);
/// Number of connections that only proxies with a certificate can use: a flood of other connections leaves them free.
const RESERVED_CONNECTIONS: usize = 2048;
/// Buffer size of an in-memory connection, in bytes.
const MEMORY_BUFFER: usize = 64 * 1024;

/// Authentication of proxies.
#[derive(Clone)]
pub enum PeerAuthentication {
    /// Mutual TLS. The client certificate is optional in the configuration, so that a new proxy can join.
    MutualTls(Arc<ServerConfig>),
    /// Plain text; the proxy's own claim is trusted. For development only, behind an explicit switch.
    Insecure,
}

/// Server of the services that proxies call. Cheap to clone.
#[derive(Clone)]
pub struct FleetService {
    serve: ServeOptions,
    authority: Arc<dyn CertificateAuthority>,
    call_readers: CallReaders,
}

/// Implementation of the services of this listener.
#[derive(Clone)]
pub(crate) struct ProxyServices {
    pub(crate) state: Arc<dyn StateReader>,
    pub(crate) writer: Arc<dyn CommandWriter>,
    pub(crate) tokens: Arc<dyn TokenIssuer>,
    pub(crate) sealer: Arc<dyn SecretSealer>,
    pub(crate) authority: Arc<dyn CertificateAuthority>,
    pub(crate) keyring: Arc<dyn KeyringReader>,
    pub(crate) drain: Drain,
    pub(crate) actors: ActorSystem,
    pub(crate) feeds: Arc<subscribe::FeedRegistry>,
    pub(crate) unreferenced: Arc<unreferenced::UnreferencedResolves>,
    pub(crate) call_readers: CallReaders,
}

impl FleetService {
    /// Creates the server. Feeds run in `actors`; the health service reports `readiness`, and `metrics` count what is
    /// refused.
    pub fn new(
        control_api: Arc<dyn ControlApi>,
        actors: ActorSystem,
        readiness: Readiness,
        metrics: &Metrics,
        drain: Drain,
    ) -> Self {
        let call_readers = CallReaders::default();
        let serve = ServeOptions {
            router: router(
                Arc::clone(&control_api),
                call_readers.clone(),
                actors,
                readiness,
                metrics,
                drain.clone(),
            ),
            http1: false,
            drain,
            name: "proxy connection",
            reserved_connections: RESERVED_CONNECTIONS,
            grace: GRACE_PERIOD,
            hosts: None,
        };
        let authority = control_api;
        Self {
            serve,
            authority,
            call_readers,
        }
    }

    /// Returns the registry of the readers of calls, for the listener for operators.
    pub fn call_readers(&self) -> &CallReaders {
        &self.call_readers
    }

    /// Serves a listener until the drain starts. Run it with [`Drain::spawn`].
    pub async fn serve(self, listener: TcpListener, trust: PeerAuthentication) {
        let authority = self.authority;
        match trust {
            PeerAuthentication::Insecure => {
                // No connection has a certificate, so none can be reserved.
                let serve = ServeOptions {
                    reserved_connections: 0,
                    ..self.serve
                };
                listen::accept(listener, None, |_none| ConnectionPeer::Trusted, serve).await;
            }
            PeerAuthentication::MutualTls(tls) => {
                let peer = move |certificate: Option<&[u8]>| {
                    let id = certificate.and_then(|der| authority.proxy_of_certificate(der));
                    id.map_or(ConnectionPeer::Unknown, ConnectionPeer::Proxy)
                };
                listen::accept(listener, Some(tls), peer, self.serve).await;
            }
        }
    }

    /// Opens an in-memory connection for a proxy in the same process: HTTP/2 without TLS. Every call opens a new
    /// connection.
    pub fn connect(&self) -> DuplexStream {
        let (client_end, server_end) = tokio::io::duplex(MEMORY_BUFFER);
        let serve = self.serve.clone();
        let drain = serve.drain.clone();
        drain.spawn(
            serve.name,
            listen::connection(server_end, ConnectionPeer::Trusted, serve),
        );
        client_end
    }
}

/// Builds the services as a router.
pub(crate) fn router(
    control_api: Arc<dyn ControlApi>,
    call_readers: CallReaders,
    actors: ActorSystem,
    readiness: Readiness,
    metrics: &Metrics,
    drain: Drain,
) -> Router {
    let access_control = Arc::new(AccessControl {
        state: Arc::<dyn ControlApi>::clone(&control_api),
        tokens: Arc::<dyn ControlApi>::clone(&control_api),
        listener: ListenerKind::Fleet,
        permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
        unknown_tokens: UnknownTokens::default(),
        deadline: DEADLINE,
    });
    let members = ProxyServices {
        state: Arc::<dyn ControlApi>::clone(&control_api),
        writer: Arc::<dyn ControlApi>::clone(&control_api),
        tokens: Arc::<dyn ControlApi>::clone(&control_api),
        sealer: Arc::<dyn ControlApi>::clone(&control_api),
        authority: Arc::<dyn ControlApi>::clone(&control_api),
        keyring: control_api,
        drain,
        actors,
        feeds: Arc::default(),
        unreferenced: Arc::new(unreferenced::UnreferencedResolves::new(metrics)),
        call_readers,
    };
    Routes::new(FleetServer::new(members.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(PushServer::new(members.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(CredentialsServer::new(members).max_decoding_message_size(MAX_MESSAGE))
        .add_service(health::server(readiness))
        .into_axum_router()
        .layer(from_fn_with_state(access_control, access_control::enforce))
}

#[cfg(test)]
mod tests;
