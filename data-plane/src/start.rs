//! Assembles a proxy from its components.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::time::sleep;
use toolgate_actor::ActorSystem;
use toolgate_data_core::{ServerView, session::owning_proxy};
use toolgate_egress::{Egress, EgressError, EgressPolicy};
use toolgate_ingress::{Listener, ListenerOptions, listener::ListenerError};
use toolgate_peers::Peers;
use toolgate_runtime::{
    Drain, MemoryBudget, Metrics, SharedClock,
    connection::OTHER_LISTENER_SHARE,
    tls::{self, ClientAuth},
};
use toolgate_session::{
    CancellableCalls, ChangeFeeds, ElicitationRegistry, PrincipalQuotas, SessionRegistry,
    SubscriptionRegistry, SuspendedCalls, UpstreamSessionRegistry,
};
use toolgate_sync::ProxyContext;
use toolgate_upstream::{
    ConfiguredEndpoints, FeedNetwork, SessionNetwork, UpstreamClient, UpstreamOptions,
    UpstreamRegistry,
};

use crate::{
    config_source::{ConfigSource, KeySet as _},
    event_limiter::EventLimiter,
    forwarding::PeerRequestHandler,
    proxy_state::ProxyState,
    rate_limit::RateLimiter,
    request_limiter::{RequestLimiter, RequestLimits},
    request_metrics::RequestMetrics,
    session_header::SessionIdCache,
    verified_callers::VerifiedCallers,
};

/// Maximum number of connections of the listener for peers, half of them for peers that have shown their certificate.
const PEER_CONNECTIONS: usize = 4_096;

/// Maximum number of connections of one address to the listener for peers, or of one peer.
const PEER_CONNECTIONS_PER_ADDRESS: usize = 256;

/// Time for which changes of the health of servers are collected.
const HEALTH_DELAY: Duration = Duration::from_millis(200);

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
    /// Maximum number of calls at one server at a time.
    pub calls_per_server: usize,
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

/// Default of [`DataPlaneOptions::calls_per_server`].
const CALLS_PER_SERVER: usize = 1024;

impl DataPlaneOptions {
    /// Returns default options for this listen address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listener: ListenerOptions::new(listen),
            egress: EgressPolicy::default(),
            limits: RequestLimits::default(),
            response_bytes: 256 * 1024 * 1024,
            calls_per_server: CALLS_PER_SERVER,
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
        context: ProxyContext,
    ) -> Result<Self, DataPlaneError> {
        let ProxyContext {
            clock,
            metrics,
            drain,
            readiness: _,
        } = context;
        let answers = MemoryBudget::new(options.response_bytes);
        let listener = options.listener.with_shared(&answers, &metrics);
        let (listener, shares) = (Listener::bind(listener)?, options.shares);
        let peer_listener = options.peers.map(bind_peer_listener).transpose()?;
        let peers = Peers::new(
            source.proxy_id().clone(),
            source.membership(),
            drain.clone(),
            Arc::clone(&clock),
        );
        let actors = ActorSystem::start(options.actor_threads).map_err(DataPlaneError::Actors)?;
        let egress = Egress::new(options.egress)?;
        let shared = (answers, options.calls_per_server);
        let upstream = upstream_registry(&source, egress, shared, &clock, &drain);
        let upstream_sessions = UpstreamSessionRegistry::new(
            Arc::new(SessionNetwork::new(Arc::clone(&upstream))),
            actors.clone(),
            Arc::clone(&clock),
            drain.clone(),
            shares.upstream_sessions,
        );
        let feeds = FeedNetwork::new(Arc::clone(&upstream), Arc::new(upstream_sessions.clone()));
        let change_feeds = ChangeFeeds::new(
            Arc::new(feeds),
            actors.clone(),
            drain.clone(),
            shares.change_feeds,
        );
        let calls = UpstreamClient::new(Arc::clone(&upstream), Arc::new(upstream_sessions.clone()));
        let state = Arc::new(ProxyState {
            limiter: RequestLimiter::new(options.limits, clock.monotonic()),
            rate_limits: RateLimiter::new(Arc::clone(&clock)),
            verified_callers: VerifiedCallers::new(),
            session_cache: SessionIdCache::new(),
            anonymous_events: EventLimiter::default(),
            sessions: SessionRegistry::new(actors.clone(), Arc::clone(&clock), shares.sessions),
            change_feeds,
            subscriptions: SubscriptionRegistry::new(
                actors.clone(),
                Arc::clone(&clock),
                shares.subscriptions,
            ),
            cancellable_calls: CancellableCalls::new(shares.cancellable_calls),
            peers,
            elicitations: ElicitationRegistry::new(
                source.proxy_id().clone(),
                shares.server_requests,
            ),
            suspended: SuspendedCalls::new(
                actors.clone(),
                Arc::clone(&clock),
                shares.suspended_calls,
            ),
            metrics: RequestMetrics::new(&metrics, &clock, source.call_log()),
            source,
            clock,
            drain: drain.clone(),
            upstream_sessions,
            upstream,
            calls,
        });
        register_gauges(&state, &metrics);
        let address = listener.address();
        spawn_tasks(state, listener, peer_listener);
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

/// Spawns the tasks of a proxy: its listeners, the task that applies views, and the task that keeps a drain waiting
/// for answers of clients.
fn spawn_tasks<S: ConfigSource>(
    state: Arc<ProxyState<S>>,
    listener: Listener,
    peer_listener: Option<(Listener, String)>,
) {
    let drain = state.drain.clone();
    drop(drain.spawn_last("server health", report_health(Arc::clone(&state))));
    drop(drain.spawn_last("view changes", follow_source(Arc::clone(&state))));
    let questions = Arc::clone(&state);
    drop(drain.spawn("questions to clients", async move {
        questions.drain.draining().await;
        questions.questions_answered().await;
    }));
    if let Some((peer_listener, at)) = peer_listener {
        let serving = serve_peers(Arc::clone(&state), peer_listener, at);
        drop(drain.spawn("peer listener", serving));
    }
    drop(drain.spawn("client listener", listener.serve(state, drain.clone())));
}

/// Creates the registry of upstreams, which prefers endpoints in the region of this proxy. `answers` is the budget of
/// responses in memory, beside it the maximum number of calls at one server at a time.
fn upstream_registry<S: ConfigSource>(
    source: &S,
    egress: Egress,
    (answers, calls_per_server): (Arc<MemoryBudget>, usize),
    clock: &SharedClock,
    drain: &Drain,
) -> Arc<UpstreamRegistry> {
    let views = source.clone();
    let is_current = move |server: &ServerView| {
        let view = views.view();
        let configured = view.server(&server.name);
        configured.is_some_and(|configured| configured.digest == server.digest)
    };
    let keys = source.clone();
    let cdn_id = move || HeaderValue::from_str(keys.keys()?.cdn_id().as_str()).ok();
    Arc::new(UpstreamRegistry::new(UpstreamOptions {
        is_current: Box::new(is_current),
        cdn_id: Box::new(cdn_id),
        egress,
        credentials: Arc::new(source.clone()),
        endpoints: Arc::new(ConfiguredEndpoints),
        region: source.region().to_owned(),
        clock: Arc::clone(clock),
        drain: drain.clone(),
        answers,
        calls_per_server,
    }))
}

/// Binds the listener for peers and returns it with the address at which peers reach it.
fn bind_peer_listener(
    peer_options: PeerListenerOptions,
) -> Result<(Listener, String), ListenerError> {
    let mut options = ListenerOptions::new(peer_options.listen);
    // Each peer forwards all its requests over one connection.
    options.limits.streams = 10_000;
    options.limits.stream_window = 1024 * 1024;
    options.limits.connection_window = 16 * 1024 * 1024;
    let connection = &mut options.limits.connection;
    connection.connections = PEER_CONNECTIONS;
    connection.descriptor_share = OTHER_LISTENER_SHARE;
    connection.connections_per_address = PEER_CONNECTIONS_PER_ADDRESS;
    connection.reserved_connections = PEER_CONNECTIONS / 2;
    let listener = Listener::bind(options)?;
    let at = peer_options
        .address
        .unwrap_or_else(|| listener.address().to_string());
    Ok((listener, at))
}

/// Serves requests of peers, once the proxy has its certificate.
async fn serve_peers<S: ConfigSource>(state: Arc<ProxyState<S>>, listener: Listener, at: String) {
    let mut membership = state.source.membership();
    let joined = tokio::select! {
        joined = membership.wait_for(Option::is_some) => joined.ok().and_then(|held| held.clone()),
        () = state.drain.draining() => None,
    };
    let Some(membership) = joined else {
        return;
    };
    let trusted = [membership.authority];
    let tls = tls::mutual_server(
        &membership.identity,
        &trusted,
        ClientAuth::Required,
        tls::ALPN_H2,
    );
    match tls {
        Ok(tls) => {
            state.peers.set_address(&at);
            tracing::info!(%at, "requests of peers are served");
            let drain = state.drain.clone();
            listener
                .with_tls(tls)
                .serve(Arc::new(PeerRequestHandler(state)), drain)
                .await;
        }
        Err(error) => tracing::error!(%error, "requests of peers cannot be served"),
    }
}

/// Applies new views and revocations, also while the last requests of a drain are served; then releases upstream state.
async fn follow_source<S: ConfigSource>(state: Arc<ProxyState<S>>) {
    let (mut changes, mut revocations) = (state.source.changes(), state.source.revocations());
    let mut before = state.source.view();
    let mut revoked: Arc<BTreeSet<_>> = Arc::default();
    revocations.mark_changed();
    let settled = state.drain.settled();
    tokio::pin!(settled);
    loop {
        tokio::select! {
            () = &mut settled => break,
            Ok(()) = revocations.changed() => {
                let now = Arc::clone(&revocations.borrow_and_update());
                state.end_revoked(now.difference(&revoked));
                revoked = now;
            }
            Ok(()) = changes.changed() => {
                changes.borrow_and_update();
                let after = state.source.view();
                if !Arc::ptr_eq(&before, &after) {
                    state.view_changed(&before, &after);
                    before = after;
                }
            }
        }
    }
    state.suspended.end_all();
    state.change_feeds.end_all();
    // Last: no call needs its upstream session any more.
    state.upstream_sessions.end_all();
}

/// Reports changes of the health of servers. Changes within a moment are reported together.
async fn report_health<S: ConfigSource>(state: Arc<ProxyState<S>>) {
    let health = Arc::clone(state.upstream.health());
    let mut changes = health.changes();
    loop {
        tokio::select! {
            () = state.drain.settled() => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
        sleep(HEALTH_DELAY).await;
        changes.mark_unchanged();
        state
            .source
            .report_health(health.servers(state.clock.now()));
    }
}

/// Registers gauges whose values are computed on collection.
fn register_gauges<S: ConfigSource>(state: &Arc<ProxyState<S>>, metrics: &Metrics) {
    let show = |name, description, value: fn(&ProxyState<S>) -> usize| {
        let state = Arc::downgrade(state);
        metrics.observe(name, "", description, move || {
            let count = state.upgrade().map_or(0, |state| value(&state));
            u32::try_from(count).map_or(f64::INFINITY, f64::from)
        });
    };
    show(
        "toolgate.requests.running",
        "Requests being served",
        |state| usize::try_from(state.limiter.running()).unwrap_or(usize::MAX),
    );
    show(
        "toolgate.rate_limit.proxies",
        "Proxies by which rate limits are divided",
        |state| usize::try_from(state.source.serving_proxies().get()).unwrap_or(usize::MAX),
    );
    show(
        "toolgate.rate_limit.quotas",
        "Quotas of rate limits that are in use",
        |state| state.rate_limits.quotas(),
    );
    show(
        "toolgate.sessions",
        "Sessions with state on this proxy",
        |state| state.sessions.count(),
    );
    show(
        "toolgate.subscriptions",
        "Modern clients that listen for changes",
        |state| state.subscriptions.count(),
    );
    show(
        "toolgate.upstream_sessions",
        "Sessions with legacy servers",
        |state| state.upstream_sessions.count(),
    );
    show(
        "toolgate.calls.legacy",
        "Calls of legacy clients in flight",
        |state| state.cancellable_calls.count(),
    );
    show(
        "toolgate.elicitations",
        "Elicitations that wait for the answer of a legacy client",
        |state| state.elicitations.count(),
    );
    show(
        "toolgate.calls.suspended",
        "Suspended calls, which wait for their modern clients",
        |state| state.suspended.count(),
    );
    show(
        "toolgate.circuits.open",
        "Upstreams whose circuit breaker is open",
        |state| state.upstream.open_circuits(),
    );
    show(
        "toolgate.connections.not_opened",
        "Connections to servers that were not opened because this proxy had no descriptors, ports or memory",
        |state| usize::try_from(state.upstream.connections_not_opened()).unwrap_or(usize::MAX),
    );
}
