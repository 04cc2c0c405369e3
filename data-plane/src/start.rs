//! Assembles a proxy from its components.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc};

use toolgate_actor::ActorSystem;
use toolgate_data_core::{
    home,
    port::{Credentials, LinkNetwork},
};
use toolgate_egress::{Egress, EgressError, EgressPolicy};
use toolgate_ingress::{Door, DoorOptions, accept::DoorError};
use toolgate_runtime::{
    Metrics,
    tls::{self, ClientAuth},
};
use toolgate_session::{
    InFlight, Links, Listeners, Parking, Questions, Sessions, Shares, Subscriptions,
};
use toolgate_sync::Machine;
use toolgate_upstream::{Calls, Feeds, Network, Upstream, UpstreamOptions};

use crate::{
    account::Accounts,
    limit::{Limiter, RequestLimits},
    neighbours::Neighbours,
    pipeline::Inside,
    plane::Plane,
    presented::Opened,
    source::Source,
};

/// Configuration of a proxy.
#[derive(Debug)]
pub struct DataPlaneOptions {
    /// Listener for clients.
    pub door: DoorOptions,
    /// Policy of reachable servers.
    pub egress: EgressPolicy,
    /// Limits of requests, per token and in total.
    pub limits: RequestLimits,
    /// Budget of upstream responses in memory, in bytes beyond 64 KiB each.
    pub answers: usize,
    /// Quotas per principal.
    pub shares: Shares,
    /// Number of actor threads.
    pub actor_threads: usize,
    /// Listener for peers, if any.
    pub neighbours: Option<NeighbourDoor>,
}

/// Configuration of the listener for the other proxies of the fleet.
#[derive(Debug, Clone)]
pub struct NeighbourDoor {
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Address `host:port` at which peers reach this proxy; defaults to the local address of the listener.
    pub address: Option<String>,
}

/// Running data plane of a proxy.
#[derive(Debug)]
pub struct DataPlane {
    address: SocketAddr,
    actors: ActorSystem,
}

/// Error of a data plane that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener cannot be opened.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The egress configuration is not usable.
    #[error("outbound connections: {0}")]
    Egress(#[from] EgressError),
    /// The actor threads could not be started.
    #[error("actors cannot be started: {0}")]
    Actors(#[source] io::Error),
}

impl NeighbourDoor {
    /// Maximum length of an address, in bytes: it is part of session ids.
    pub const ADDRESS_LIMIT: usize = home::ADDRESS_LIMIT;
}

impl DataPlaneOptions {
    /// Returns default options for this listen address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            door: DoorOptions::new(listen),
            egress: EgressPolicy::default(),
            limits: RequestLimits::default(),
            answers: 256 * 1024 * 1024,
            shares: Shares::default(),
            actor_threads: 1,
            neighbours: None,
        }
    }
}

impl DataPlane {
    /// Starts a proxy that serves the configuration of `source` until it is drained. Must be called on the runtime that
    /// serves.
    pub fn start<S: Source>(
        options: DataPlaneOptions,
        source: S,
        machine: Machine,
    ) -> Result<Self, StartError> {
        let Machine {
            clock,
            metrics,
            drain,
            readiness: _,
        } = machine;
        let (door, shares) = (Door::open(options.door)?, options.shares);
        let inner = options.neighbours.map(inner_door).transpose()?;
        let neighbours = Neighbours::new(
            source.proxy_id().clone(),
            source.membership(),
            drain.clone(),
            Arc::clone(&clock),
        );
        let actors = ActorSystem::start(options.actor_threads).map_err(StartError::Actors)?;
        let upstream = Arc::new(Upstream::new(UpstreamOptions {
            egress: Egress::new(options.egress)?,
            credentials: Arc::new(source.clone()) as Arc<dyn Credentials>,
            clock: Arc::clone(&clock),
            drain: drain.clone(),
            answers: options.answers,
        }));
        let network: Arc<dyn LinkNetwork> = Arc::new(Network::new(Arc::clone(&upstream)));
        let links = Links::new(
            network,
            actors.clone(),
            Arc::clone(&clock),
            drain.clone(),
            shares.links,
        );
        let feeds = Feeds::new(Arc::clone(&upstream), Arc::new(links.clone()));
        let listeners = Listeners::new(
            Arc::new(feeds),
            actors.clone(),
            drain.clone(),
            shares.listeners,
        );
        let calls = Calls::new(Arc::clone(&upstream), Arc::new(links.clone()));
        let plane = Arc::new(Plane {
            limiter: Limiter::new(options.limits, clock.monotonic()),
            opened: Opened::new(),
            sessions: Sessions::new(actors.clone(), Arc::clone(&clock), shares.sessions),
            listeners,
            subscriptions: Subscriptions::new(
                actors.clone(),
                Arc::clone(&clock),
                shares.subscriptions,
            ),
            in_flight: InFlight::new(shares.in_flight),
            neighbours,
            questions: Questions::new(source.proxy_id().clone(), shares.questions),
            parking: Parking::new(actors.clone(), Arc::clone(&clock), shares.parked),
            accounts: Accounts::new(metrics.clone(), Arc::clone(&clock)),
            source,
            clock,
            drain: drain.clone(),
            links,
            upstream,
            calls,
        });
        observe(&plane, &metrics);
        let address = door.address();
        drop(drain.spawn_last("view changes", follow(Arc::clone(&plane))));
        if let Some((inner, at)) = inner {
            let meeting = meet(Arc::clone(&plane), inner, at);
            drop(drain.spawn("neighbours", meeting));
        }
        drop(drain.spawn("door", door.serve(plane, drain.clone())));
        tracing::info!(%address, "serving");
        Ok(Self { address, actors })
    }

    /// Returns the address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the actor system, for inspection and for shutdown after the drain.
    pub fn actors(&self) -> &ActorSystem {
        &self.actors
    }
}

/// Binds the listener for peers and returns it with the address at which peers reach it.
fn inner_door(settings: NeighbourDoor) -> Result<(Door, String), DoorError> {
    let mut options = DoorOptions::new(settings.listen);
    // Each peer forwards all its requests over one connection.
    options.limits.streams = 10_000;
    options.limits.stream_window = 1024 * 1024;
    options.limits.connection_window = 16 * 1024 * 1024;
    let door = Door::open(options)?;
    let at = settings
        .address
        .unwrap_or_else(|| door.address().to_string());
    Ok((door, at))
}

/// Serves requests of peers, once the proxy has its certificate.
async fn meet<S: Source>(plane: Arc<Plane<S>>, door: Door, at: String) {
    let mut membership = plane.source.membership();
    let joined = tokio::select! {
        joined = membership.wait_for(Option::is_some) => joined.ok().and_then(|held| held.clone()),
        () = plane.drain.draining() => None,
    };
    let Some(joined) = joined else {
        return;
    };
    let trusted = [joined.authority];
    let tls = tls::mutual_server(
        &joined.identity,
        &trusted,
        ClientAuth::Required,
        tls::ALPN_H2,
    );
    match tls {
        Ok(tls) => {
            plane.neighbours.reachable(&at);
            tracing::info!(%at, "neighbours are met");
            let drain = plane.drain.clone();
            door.presenting(tls)
                .serve(Arc::new(Inside(plane)), drain)
                .await;
        }
        Err(error) => tracing::error!(%error, "neighbours cannot be met"),
    }
}

/// Applies new views and revocations, also while the last requests of a drain are served; then releases upstream state.
async fn follow<S: Source>(plane: Arc<Plane<S>>) {
    let (mut changes, mut revocations) = (plane.source.changes(), plane.source.revocations());
    let mut before = plane.source.view();
    let mut revoked: Arc<BTreeSet<_>> = Arc::default();
    revocations.mark_changed();
    let settled = plane.drain.settled();
    tokio::pin!(settled);
    loop {
        tokio::select! {
            () = &mut settled => break,
            Ok(()) = revocations.changed() => {
                let now = Arc::clone(&revocations.borrow_and_update());
                plane.revoked(now.difference(&revoked));
                revoked = now;
            }
            Ok(()) = changes.changed() => {
                changes.borrow_and_update();
                let after = plane.source.view();
                if !Arc::ptr_eq(&before, &after) {
                    plane.view_changed(&before, &after);
                    before = after;
                }
            }
        }
    }
    plane.parking.end_all();
    plane.listeners.end_all();
    // Last: no call needs its upstream session any more.
    plane.links.end_all();
}

/// Registers gauges whose values are computed on collection.
fn observe<S: Source>(plane: &Arc<Plane<S>>, metrics: &Metrics) {
    let show = |name, description, value: fn(&Plane<S>) -> usize| {
        let plane = Arc::downgrade(plane);
        metrics.observe(name, "", description, move || {
            let count = plane.upgrade().map_or(0, |plane| value(&plane));
            u32::try_from(count).map_or(f64::INFINITY, f64::from)
        });
    };
    show(
        "toolgate.requests.running",
        "Requests being served",
        |plane| usize::try_from(plane.limiter.running()).unwrap_or(usize::MAX),
    );
    show(
        "toolgate.sessions",
        "Sessions of which something is remembered",
        |plane| plane.sessions.count(),
    );
    show(
        "toolgate.subscriptions",
        "Modern clients that listen for changes",
        |plane| plane.subscriptions.count(),
    );
    show("toolgate.links", "Sessions with legacy servers", |plane| {
        plane.links.count()
    });
    show(
        "toolgate.calls.legacy",
        "Calls of legacy clients in flight",
        |plane| plane.in_flight.count(),
    );
    show(
        "toolgate.questions",
        "Questions of servers that wait for legacy clients",
        |plane| plane.questions.count(),
    );
    show(
        "toolgate.calls.parked",
        "Calls that wait for modern clients",
        |plane| plane.parking.count(),
    );
    show(
        "toolgate.circuits.open",
        "Servers that are given a pause",
        |plane| plane.upstream.open_circuits(),
    );
}
