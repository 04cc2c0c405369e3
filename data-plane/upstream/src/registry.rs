//! All upstreams of this proxy, by server.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use toolgate_data_core::{
    ServerView, View,
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
    upstream::Upstream,
};

/// Parts of an [`UpstreamRegistry`].
pub struct UpstreamOptions {
    /// Opens all outbound sockets.
    pub egress: Egress,
    /// Credentials of servers.
    pub credentials: Arc<dyn CredentialResolver>,
    /// Endpoints of servers that have several.
    pub endpoints: Arc<dyn EndpointResolver>,
    /// Region of this proxy, or an empty string. Endpoints of the same region are preferred.
    pub region: String,
    /// Clock.
    pub clock: SharedClock,
    /// Drain, which waits for messages in flight.
    pub drain: Drain,
    /// Budget of all answers that are held at a time, those beyond 64 KiB each.
    pub answers: Arc<MemoryBudget>,
}

/// Upstreams by server. Each is created by the first request to its server.
pub struct UpstreamRegistry {
    egress: Egress,
    credentials: Arc<dyn CredentialResolver>,
    endpoints: Arc<dyn EndpointResolver>,
    region: String,
    pub(crate) clock: SharedClock,
    pub(crate) drain: Drain,
    answers: Arc<MemoryBudget>,
    upstreams: ArcSwap<BTreeMap<ObjectName, Arc<Upstream>>>,
}

impl UpstreamRegistry {
    /// Creates an empty registry.
    pub fn new(options: UpstreamOptions) -> Self {
        let UpstreamOptions {
            egress,
            credentials,
            endpoints,
            region,
            clock,
            drain,
            answers,
        } = options;
        Self {
            egress,
            credentials,
            endpoints,
            region,
            clock,
            drain,
            answers,
            upstreams: ArcSwap::default(),
        }
    }

    /// Removes the servers that `view` no longer has.
    pub fn retain(&self, view: &View) {
        self.retain_names(|name| view.server(name).is_some());
    }

    /// Returns the number of servers whose circuit is open or half open.
    pub fn open_circuits(&self) -> usize {
        let upstreams = self.upstreams.load();
        let open = upstreams
            .values()
            .filter(|upstream| upstream.is_circuit_open());
        open.count()
    }

    /// Checks that there is room for another answer of `holder`.
    pub(crate) fn check_room(&self, holder: BudgetOwner) -> Result<(), UpstreamFailure> {
        let room = self.answers.has_room(holder);
        room.map_err(|exhausted| match exhausted {
            BudgetExceeded::Total => UpstreamFailure::Overloaded,
            BudgetExceeded::OwnerLimit => UpstreamFailure::TooManyOpen("answers"),
        })
    }

    /// Returns the upstream of this server as it is configured.
    pub(crate) fn upstream(
        &self,
        server: &Arc<ServerView>,
    ) -> Result<Arc<Upstream>, UpstreamFailure> {
        if let Some(upstream) = self.upstreams.load().get(&server.name)
            && upstream.server.digest == server.digest
        {
            return Ok(Arc::clone(upstream));
        }
        let target = CallTarget::new(&self.egress, server, &self.answers)?;
        let clock = Arc::clone(&self.clock);
        let created = Arc::new(Upstream::new(Arc::clone(server), target, clock));
        self.upstreams.rcu(|upstreams| {
            let mut upstreams = BTreeMap::clone(upstreams);
            upstreams.insert(server.name.clone(), Arc::clone(&created));
            upstreams
        });
        Ok(created)
    }

    /// Returns the endpoint to call, with the current credential of the server for this principal attached.
    pub(crate) async fn authenticated_endpoint(
        &self,
        upstream: &Upstream,
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
        upstream: &'a Upstream,
    ) -> Result<&'a EndpointTarget, UpstreamFailure> {
        let (server, target) = (&upstream.server, &upstream.target);
        if let Some(only) = target.only_endpoint() {
            return Ok(only);
        }
        let statuses = self.endpoints.resolve(server).await?;
        let addresses: Vec<_> = statuses.iter().map(|it| it.endpoint.clone()).collect();
        let (trips, now) = (upstream.trips(), self.clock.now());
        let chosen = target.observed.choose(statuses, &self.region, trips, now);
        let chosen = chosen.and_then(|index| addresses.get(index));
        let position = server.endpoints.iter().position(|it| Some(it) == chosen);
        let found = position.and_then(|index| target.endpoint(index));
        found.ok_or(UpstreamFailure::Unreachable)
    }

    fn retain_names(&self, keep: impl Fn(&ObjectName) -> bool) {
        if self.upstreams.load().keys().all(&keep) {
            return;
        }
        self.upstreams.rcu(|upstreams| {
            let kept = upstreams.iter().filter(|(name, _)| keep(name));
            kept.map(|(name, upstream)| (name.clone(), Arc::clone(upstream)))
                .collect::<BTreeMap<_, _>>()
        });
    }
}

impl fmt::Debug for UpstreamRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRegistry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
