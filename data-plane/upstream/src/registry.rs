//! All upstreams of this proxy, by server.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use toolgate_data_core::{
    ServerView,
    port::{CredentialRequest, CredentialResolver, EndpointResolver},
    refusal::UpstreamFailure,
};
use toolgate_egress::Egress;
use toolgate_model::{CredentialScope, ObjectName, Principal};
use toolgate_runtime::{
    Drain, MemoryBudget, SharedClock,
    budget::{BudgetExceeded, BudgetOwner},
};

use crate::{
    endpoint::{AuthenticatedEndpoint, CallTarget, EndpointTarget},
    health::HealthMonitor,
    upstream::Upstream,
};

/// Reports if the current view has the server in exactly this configuration.
pub type CurrencyCheck = Box<dyn Fn(&ServerView) -> bool + Send + Sync>;

/// Returns the id of this deployment in `CDN-Loop`, once it is known.
pub type CdnIdSource = Box<dyn Fn() -> Option<HeaderValue> + Send + Sync>;

/// Parts of an [`UpstreamRegistry`].
pub struct UpstreamOptions {
    /// Opens all outbound sockets.
    pub egress: Egress,
    /// Credentials of servers.
    pub credentials: Arc<dyn CredentialResolver>,
    /// Endpoints of servers that have several.
    pub endpoints: Arc<dyn EndpointResolver>,
    /// Check of a server against the current view.
    pub is_current: CurrencyCheck,
    /// Id of this deployment in `CDN-Loop`. Known before the first request is served.
    pub cdn_id: CdnIdSource,
    /// Region of this proxy, or an empty string. Endpoints of the same region are preferred.
    pub region: String,
    /// Clock.
    pub clock: SharedClock,
    /// Drain, which waits for messages in flight.
    pub drain: Drain,
    /// Budget of all answers that are held at a time, those beyond 64 KiB each.
    pub answers: Arc<MemoryBudget>,
    /// Maximum number of calls at one server at a time.
    pub calls_per_server: usize,
}

/// Upstreams by server. Each is created by the first request to its server. Only the configuration of the current view
/// has an entry: a request, session or feed of another configuration shares an upstream with the others of that
/// configuration for as long as one of them holds it, and neither replaces an entry nor adds one.
pub struct UpstreamRegistry {
    egress: Egress,
    credentials: Arc<dyn CredentialResolver>,
    endpoints: Arc<dyn EndpointResolver>,
    is_current: CurrencyCheck,
    cdn_id: CdnIdSource,
    region: String,
    pub(crate) clock: SharedClock,
    pub(crate) drain: Drain,
    answers: Arc<MemoryBudget>,
    calls_per_server: usize,
    health: Arc<HealthMonitor>,
    /// Upstreams of the current view. Changed only while `outdated` is locked.
    upstreams: ArcSwap<BTreeMap<ObjectName, Arc<Upstream>>>,
    /// Upstreams of other configurations that are still used.
    outdated: Mutex<Vec<Weak<Upstream>>>,
}

impl UpstreamRegistry {
    /// Creates an empty registry.
    pub fn new(options: UpstreamOptions) -> Self {
        let UpstreamOptions {
            egress,
            credentials,
            endpoints,
            is_current,
            cdn_id,
            region,
            clock,
            drain,
            answers,
            calls_per_server,
        } = options;
        Self {
            egress,
            credentials,
            endpoints,
            is_current,
            cdn_id,
            region,
            clock,
            drain,
            answers,
            calls_per_server,
            health: Arc::default(),
            upstreams: ArcSwap::default(),
            outdated: Mutex::default(),
        }
    }

    /// Drops the entries of servers that the current view does not have in the same configuration.
    pub fn retain_current(&self) {
        let mut outdated = self.outdated();
        let before = self.upstreams.load_full();
        if before.values().all(|it| (self.is_current)(&it.server)) {
            return;
        }
        let mut upstreams = BTreeMap::clone(&before);
        upstreams.retain(|_name, upstream| {
            let is_current = (self.is_current)(&upstream.server);
            if !is_current {
                self.health.forget(upstream.reported_server());
                outdated.push(Arc::downgrade(upstream));
            }
            is_current
        });
        self.upstreams.store(Arc::new(upstreams));
    }

    /// Returns the health of the servers as this proxy sees it.
    pub fn health(&self) -> &Arc<HealthMonitor> {
        &self.health
    }

    /// Returns the number of servers whose circuit is open or half open.
    pub fn open_circuits(&self) -> usize {
        let upstreams = self.upstreams.load();
        let open = upstreams
            .values()
            .filter(|upstream| upstream.is_circuit_open());
        open.count()
    }

    /// Returns the number of connections to servers that were not opened because the proxy had no resources for them.
    pub fn connections_not_opened(&self) -> u64 {
        self.egress.connections_not_opened()
    }

    /// Checks that there is room for another answer of `holder`.
    pub(crate) fn check_room(&self, holder: BudgetOwner) -> Result<(), UpstreamFailure> {
        let room = self.answers.has_room(holder);
        room.map_err(|exhausted| match exhausted {
            BudgetExceeded::Total => UpstreamFailure::Overloaded,
            BudgetExceeded::OwnerLimit => UpstreamFailure::TooManyOpen("answers"),
        })
    }

    /// Returns the upstream of the server in this configuration.
    pub(crate) fn upstream(
        &self,
        server: &Arc<ServerView>,
    ) -> Result<Arc<Upstream>, UpstreamFailure> {
        match self.current(server) {
            Some(upstream) => Ok(upstream),
            None => self.find_or_create(server),
        }
    }

    /// Returns the entry of the server if it has the same configuration.
    fn current(&self, server: &ServerView) -> Option<Arc<Upstream>> {
        let upstreams = self.upstreams.load();
        let entry = upstreams.get(&server.name);
        entry
            .filter(|it| it.server.digest == server.digest)
            .map(Arc::clone)
    }

    fn find_or_create(&self, server: &Arc<ServerView>) -> Result<Arc<Upstream>, UpstreamFailure> {
        let mut outdated = self.outdated();
        // Another request may have created it.
        if let Some(upstream) = self.current(server) {
            return Ok(upstream);
        }
        outdated.retain(|it| it.strong_count() > 0);
        let mut held = outdated.iter().filter_map(Weak::upgrade);
        let held =
            held.find(|it| it.server.name == server.name && it.server.digest == server.digest);
        let upstream = match held {
            Some(upstream) => upstream,
            None => {
                let target = CallTarget::new(
                    &self.egress,
                    server,
                    &self.answers,
                    (self.cdn_id)().as_ref(),
                )?;
                let clock = Arc::clone(&self.clock);
                Arc::new(Upstream::new(
                    Arc::clone(server),
                    target,
                    self.calls_per_server,
                    Arc::clone(&self.health),
                    clock,
                    self.drain.clone(),
                ))
            }
        };
        if !(self.is_current)(server) {
            outdated.push(Arc::downgrade(&upstream));
            return Ok(upstream);
        }
        self.health.configure(upstream.reported_server());
        let mut upstreams = BTreeMap::clone(&self.upstreams.load());
        let replaced = upstreams.insert(server.name.clone(), Arc::clone(&upstream));
        if let Some(replaced) = replaced {
            outdated.push(Arc::downgrade(&replaced));
        }
        self.upstreams.store(Arc::new(upstreams));
        Ok(upstream)
    }

    /// Returns the endpoint to call, with the current credential of the server for this principal attached.
    pub(crate) async fn authenticated_endpoint(
        &self,
        upstream: &Arc<Upstream>,
        principal: &Principal,
    ) -> Result<Arc<AuthenticatedEndpoint>, UpstreamFailure> {
        let server = &upstream.server;
        let target = self.endpoint_target(upstream).await?;
        let Some(reference) = &server.credential else {
            return Ok(target.bare());
        };
        let request = CredentialRequest {
            server: &server.name,
            reference,
            principal,
        };
        let credential = match self.credentials.held(request) {
            Some(held) => held,
            None => self.credentials.resolve(request).await?,
        };
        match reference.scope {
            CredentialScope::Shared => target.with_shared(credential),
            CredentialScope::PerPrincipal => target.with(credential),
        }
    }

    async fn endpoint_target<'a>(
        &self,
        upstream: &'a Arc<Upstream>,
    ) -> Result<&'a EndpointTarget, UpstreamFailure> {
        let (server, target) = (&upstream.server, &upstream.target);
        if let Some(only) = target.only_endpoint() {
            return Ok(only);
        }
        let statuses = self.endpoints.resolve(server).await?;
        let addresses: Vec<_> = statuses.iter().map(|it| it.endpoint.clone()).collect();
        let (trips, now) = (upstream.trips(), self.clock.now());
        let last = || upstream.last_failure().clone();
        let observed = &target.observed;
        let chosen = observed.choose(statuses, &self.region, trips, last, now);
        if chosen.is_some_and(|it| it.has_news) {
            upstream.report_endpoints();
        }
        let chosen = chosen.and_then(|it| addresses.get(it.index));
        let position = server.endpoints.iter().position(|it| Some(it) == chosen);
        let found = position.and_then(|index| target.endpoint(index));
        found.ok_or(UpstreamFailure::Unreachable)
    }

    fn outdated(&self) -> MutexGuard<'_, Vec<Weak<Upstream>>> {
        self.outdated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UpstreamRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRegistry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
