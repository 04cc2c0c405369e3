//! The fleet listener: what proxies call. With mutual TLS, a proxy is who its certificate says; who shows none can
//! join, and nothing else.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state};
use rustls::ServerConfig;
use tokio::{io::DuplexStream, net::TcpListener, sync::Semaphore};
use tonic::service::Routes;
use toolgate_actor::ActorSystem;
use toolgate_proto::{
    credential::v1::credentials_server::CredentialsServer,
    push::v1::{fleet_server::FleetServer, push_server::PushServer},
};
use toolgate_runtime::{Drain, Readiness};

use crate::{
    caller::Peer,
    desk::Desk,
    edge::Edge,
    gate::{self, Gate},
    health,
    listen::{self, Serve},
    rights::Side,
    watches::Watches,
};

mod credentials;
mod feed;
mod membership;
mod revocations;
mod subscribe;

/// Bytes of one message that comes in: what a proxy holds, by digest, may be long.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Requests at a time on the whole listener.
const MAX_REQUESTS: usize = 4096;
/// How long a request may take until its answer begins.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a connection may take to end when the process drains.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes on their way in an in-memory connection.
const MEMORY_BUFFER: usize = 64 * 1024;

/// What proves who a proxy is.
#[derive(Clone)]
pub enum Trust {
    /// Its certificate. The configuration asks for one without insisting, so that a newcomer can join.
    Mutual(Arc<ServerConfig>),
    /// Its word, in plain text. For development; the switch says so.
    Insecure,
}

/// The services that proxies call. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    serve: Serve,
    desk: Arc<dyn Desk>,
}

/// Shared by the services of this listener.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) edge: Edge,
    pub(crate) actors: ActorSystem,
    pub(crate) feeds: Arc<subscribe::Feeds>,
}

impl Fleet {
    /// Ready to serve. Feeds live in `actors`; health follows `readiness`.
    pub fn new(
        desk: Arc<dyn Desk>,
        actors: ActorSystem,
        readiness: Readiness,
        drain: Drain,
    ) -> Self {
        let serve = Serve {
            router: router(Arc::clone(&desk), actors, readiness, drain.clone()),
            http1: false,
            drain,
            name: "proxy connection",
            grace: GRACE,
        };
        Self { serve, desk }
    }

    /// Serves a listener until the drain starts. Run it with [`Drain::spawn`].
    pub async fn serve(self, listener: TcpListener, trust: Trust) -> io::Result<()> {
        let desk = self.desk;
        match trust {
            Trust::Insecure => {
                listen::accept(listener, None, |_none| Peer::Trusted, self.serve).await
            }
            Trust::Mutual(tls) => {
                let peer = move |certificate: Option<&[u8]>| {
                    let id = certificate.and_then(|der| desk.peer(der));
                    id.map_or(Peer::Unknown, Peer::Proxy)
                };
                listen::accept(listener, Some(tls), peer, self.serve).await
            }
        }
    }

    /// A connection in memory, for a proxy in the same process. HTTP/2 without TLS; call again to connect again.
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(MEMORY_BUFFER);
        let serve = self.serve.clone();
        let drain = serve.drain.clone();
        drain.spawn(serve.name, listen::connection(far, Peer::Trusted, serve));
        near
    }
}

/// The services as a router.
pub(crate) fn router(
    desk: Arc<dyn Desk>,
    actors: ActorSystem,
    readiness: Readiness,
    drain: Drain,
) -> Router {
    let gate = Arc::new(Gate {
        desk: Arc::clone(&desk),
        side: Side::Fleet,
        permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
        deadline: DEADLINE,
    });
    let edge = Edge {
        desk,
        drain,
        watches: Arc::new(Watches::default()),
    };
    let members = Members {
        edge,
        actors,
        feeds: Arc::default(),
    };
    Routes::new(FleetServer::new(members.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(PushServer::new(members.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(CredentialsServer::new(members).max_decoding_message_size(MAX_MESSAGE))
        .add_service(health::server(readiness))
        .into_axum_router()
        .layer(from_fn_with_state(gate, gate::enter))
}

#[cfg(test)]
mod tests;
