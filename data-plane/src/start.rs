//! Assembles a proxy from its components.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc};

use toolgate_actor::ActorSystem;
use toolgate_data_core::session::owning_proxy;
use toolgate_egress::{Egress, EgressError, EgressPolicy};
use toolgate_ingress::{Listener, ListenerOptions, listener::ListenerError};
use toolgate_peers::Peers;
use toolgate_runtime::{
    Drain, Metrics, SharedClock,
    tls::{self, ClientAuth},
};
use toolgate_session::{
    ChangeFeeds, ElicitationRegistry, InFlight, PrincipalQuotas, SessionRegistry,
    SubscriptionRegistry, SuspendedCalls, UpstreamSessionRegistry,
};
use toolgate_sync::ProxyContext;
use toolgate_upstream::{
    ConfiguredEndpoints, FeedNetwork, SessionNetwork, UpstreamClient, UpstreamOptions,
    UpstreamRegistry,
};

use crate::{
    config_source::ConfigSource,
    pipeline::Inside,
    proxy_state::ProxyState,
    rate_limit::RateLimiter,
    request_limiter::{RequestLimiter, RequestLimits},
    request_metrics::RequestMetrics,
    session_header::SessionIdCache,
};

/// Configuration of a proxy.
#[derive(Debug)]
pub struct DataPlaneOptions {
    /// Listener for clients.
    pub listener: ListenerOptions,
    /// Policy of reachable servers.
    pub egress: EgressPolicy,
    /// Limits of requests, per token and in total.
    pub limits: RequestLimits,
    /// Budget of upstream responses in memory, in bytes beyond 64 KiB each.
    pub response_bytes: usize,
    /// Quotas per principal.
    pub shares: PrincipalQuotas,
    /// Number of actor threads.
    pub actor_threads: usize,
    /// Listener for peers, if any.
    pub peers: Option<PeerListenerOptions>,
}

/// Configuration of the listener for the other proxies of the fleet.
#[derive(Debug, Clone)]
pub struct PeerListenerOptions {
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
pub enum DataPlaneError {
    /// The listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// The egress configuration is not usable.
    #[error("outbound connections: {0}")]
    Egress(#[from] EgressError),
    /// The actor threads could not be started.
    #[error("actors cannot be started: {0}")]
    Actors(#[source] io::Error),
}

impl PeerListenerOptions {
    /// Maximum length of an address, in bytes: it is part of session ids.
    pub const ADDRESS_LIMIT: usize = owning_proxy::ADDRESS_LIMIT;
}

impl DataPlaneOptions {
    /// Returns default options for this listen address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listener: ListenerOptions::new(listen),
            egress: EgressPolicy::default(),
            limits: RequestLimits::default(),
            response_bytes: 256 * 1024 * 1024,
            shares: PrincipalQuotas::default(),
            actor_threads: 1,
            peers: None,
        }
    }
}

impl DataPlane {
    /// Starts a proxy that serves the configuration of `source` until it is drained. Must be called on the runtime that
    /// serves.
    pub fn start<S: ConfigSource>(
        options: DataPlaneOptions,
        source: S,
        machine: ProxyContext,
    ) -> Result<Self, DataPlaneError> {
        let ProxyContext {
            clock,
            metrics,
            drain,
            readiness: _,
        } = machine;
        let (door, shares) = (Listener::bind(options.listener)?, options.shares);
        let inner = options.peers.map(bind_peer_listener).transpose()?;
        let neighbours = Peers::new(
            source.proxy_id().clone(),
            source.membership(),
            drain.clone(),
            Arc::clone(&clock),
        );
        let actors = ActorSystem::start(options.actor_threads).map_err(DataPlaneError::Actors)?;
        let (egress, answers) = (Egress::new(options.egress)?, options.response_bytes);
        let upstream = upstream_registry(&source, egress, answers, &clock, &drain);
        let upstream_sessions = UpstreamSessionRegistry::new(
            Arc::new(SessionNetwork::new(Arc::clone(&upstream))),
            actors.clone(),
            Arc::clone(&clock),
            drain.clone(),
            shares.upstream_sessions,
        );
        let feeds = FeedNetwork::new(Arc::clone(&upstream), Arc::new(upstream_sessions.clone()));
        let listeners = ChangeFeeds::new(
            Arc::new(feeds),
            actors.clone(),
            drain.clone(),
            shares.change_feeds,
        );
        let calls = UpstreamClient::new(Arc::clone(&upstream), Arc::new(upstream_sessions.clone()));
        let plane = Arc::new(ProxyState {
            limiter: RequestLimiter::new(options.limits, clock.monotonic()),
            rate_limits: RateLimiter::new(Arc::clone(&clock)),
            session_cache: SessionIdCache::new(),
            sessions: SessionRegistry::new(actors.clone(), Arc::clone(&clock), shares.sessions),
            change_feeds: listeners,
            subscriptions: SubscriptionRegistry::new(
                actors.clone(),
                Arc::clone(&clock),
                shares.subscriptions,
            ),
            in_flight: InFlight::new(shares.in_flight),
            peers: neighbours,
            elicitations: ElicitationRegistry::new(
                source.proxy_id().clone(),
                shares.server_requests,
            ),
            suspended: SuspendedCalls::new(
                actors.clone(),
                Arc::clone(&clock),
                shares.suspended_calls,
            ),
            metrics: RequestMetrics::new(metrics.clone(), Arc::clone(&clock)),
            source,
            clock,
            drain: drain.clone(),
            upstream_sessions,
            upstream,
            calls,
        });
        register_gauges(&plane, &metrics);
        let address = door.address();
        drop(drain.spawn_last("view changes", follow_source(Arc::clone(&plane))));
        if let Some((inner, at)) = inner {
            let meeting = serve_peers(Arc::clone(&plane), inner, at);
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

/// Creates the registry of upstreams, which prefers endpoints in the region of this proxy. `answers` is the budget of
/// responses in memory, in bytes.
fn upstream_registry<S: ConfigSource>(
    source: &S,
    egress: Egress,
    answers: usize,
    clock: &SharedClock,
    drain: &Drain,
) -> Arc<UpstreamRegistry> {
    Arc::new(UpstreamRegistry::new(UpstreamOptions {
        egress,
        credentials: Arc::new(source.clone()),
        endpoints: Arc::new(ConfiguredEndpoints),
        region: source.region().to_owned(),
        clock: Arc::clone(clock),
        drain: drain.clone(),
        answers,
    }))
}

/// Binds the listener for peers and returns it with the address at which peers reach it.
fn bind_peer_listener(settings: PeerListenerOptions) -> Result<(Listener, String), ListenerError> {
    let mut options = ListenerOptions::new(settings.listen);
    // Each peer forwards all its requests over one connection.
    options.limits.streams = 10_000;
    options.limits.stream_window = 1024 * 1024;
    options.limits.connection_window = 16 * 1024 * 1024;
    let door = Listener::bind(options)?;
    let at = settings
        .address
        .unwrap_or_else(|| door.address().to_string());
    Ok((door, at))
}

/// Serves requests of peers, once the proxy has its certificate.
async fn serve_peers<S: ConfigSource>(plane: Arc<ProxyState<S>>, door: Listener, at: String) {
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
            plane.peers.set_address(&at);
            tracing::info!(%at, "neighbours are met");
            let drain = plane.drain.clone();
            door.with_tls(tls)
                .serve(Arc::new(Inside(plane)), drain)
                .await;
        }
        Err(error) => tracing::error!(%error, "neighbours cannot be met"),
    }
}

/// Applies new views and revocations, also while the last requests of a drain are served; then releases upstream state.
async fn follow_source<S: ConfigSource>(plane: Arc<ProxyState<S>>) {
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
                plane.end_revoked(now.difference(&revoked));
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
    plane.suspended.end_all();
    plane.change_feeds.end_all();
    // Last: no call needs its upstream session any more.
    plane.upstream_sessions.end_all();
}

/// Registers gauges whose values are computed on collection.
fn register_gauges<S: ConfigSource>(plane: &Arc<ProxyState<S>>, metrics: &Metrics) {
    let show = |name, description, value: fn(&ProxyState<S>) -> usize| {
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
        "toolgate.rate_limit.proxies",
        "Proxies by which rate limits are divided",
        |plane| usize::try_from(plane.source.serving_proxies().get()).unwrap_or(usize::MAX),
    );
    show(
        "toolgate.rate_limit.quotas",
        "Quotas of rate limits that are in use",
        |plane| plane.rate_limits.quotas(),
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
        plane.upstream_sessions.count()
    });
    show(
        "toolgate.calls.legacy",
        "Calls of legacy clients in flight",
        |plane| plane.in_flight.count(),
    );
    show(
        "toolgate.questions",
        "Questions of servers that wait for legacy clients",
        |plane| plane.elicitations.count(),
    );
    show(
        "toolgate.calls.parked",
        "Calls that wait for modern clients",
        |plane| plane.suspended.count(),
    );
    show(
        "toolgate.circuits.open",
        "Servers that are given a pause",
        |plane| plane.upstream.open_circuits(),
    );
}
