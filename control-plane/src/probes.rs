//! Connects server discovery to the write path: the targets come from the published state, the headers from
//! credentials, and the definitions are written as commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use toolgate_client::PresentedCredential;
use toolgate_control_core::{
    Change, Command, CommandAuthor, CommandContext, ObjectKey, Rejection, StoreState,
    command::WritePriority,
    definitions::DefinitionsWrites,
    port::{
        BoxFuture, ProbeError, PublishedState, SecretSealer, ServerProber, SubmitError,
        sealed_credential_fields,
    },
};
use toolgate_discovery::{
    DefinitionsSink, HeaderError, HeaderSource, ProbeTarget, ProbeTargets, ServerDiscovery,
    SinkError, StoreEffect, StoreReport, joined_problem,
};
use toolgate_model::{
    Credential, DefinitionsPart, KindObject as _, ObjectName, ProbeFailure, ProbeProblem, Server,
    ServerDefinitions, snapshot::CredentialRef,
};
use toolgate_vault::EnvelopeSealer;
use url::Url;

use crate::{
    leader_election::Leadership,
    observation_limiter::{
        ObservationAdmission, ObservationLimiter, postponed_problem, unstable_problem,
    },
    write_path::StoreWriter,
};

/// Maximum number of writes with which the parts of definitions are stored that another writer has deleted meanwhile.
const MAX_PREPARATIONS: usize = 200;

/// Number of waiting operators of this control plane, by server.
type ProbeRequestCounts = BTreeMap<ObjectName, usize>;

/// Derives the servers to probe and keeps them up to date: all servers if this control plane has the leadership, else
/// only the servers requested by an operator. Ends with the publications.
pub(crate) async fn derive_targets(
    mut published: watch::Receiver<Arc<PublishedState>>,
    leadership: Leadership,
    mut requested: watch::Receiver<ProbeRequestCounts>,
    targets: watch::Sender<Arc<ProbeTargets>>,
) {
    let mut held = leadership.watch();
    let mut derivation = TargetDerivation::default();
    loop {
        let state = Arc::clone(&published.borrow_and_update().state);
        let selection = ProbeSelection {
            all: held.borrow_and_update().is_some(),
            requested: requested.borrow_and_update().keys().cloned().collect(),
        };
        derivation.follow(state, selection);
        targets.send_if_modified(|current| {
            let mut changed = derivation.targets.changed_since(current);
            let differs = changed.as_mut().is_none_or(|it| it.next().is_some());
            if differs {
                *current = Arc::new(derivation.targets.clone());
            }
            differs
        });
        let open = tokio::select! {
            changed = published.changed() => changed.is_ok(),
            changed = held.changed() => changed.is_ok(),
            changed = requested.changed() => changed.is_ok(),
        };
        if !open {
            return;
        }
    }
}

/// Servers that this control plane probes.
#[derive(Debug, Clone, Default)]
struct ProbeSelection {
    /// True if all servers are probed.
    all: bool,
    /// Servers that operators wait for.
    requested: BTreeSet<ObjectName>,
}

/// Targets of probes, derived from one state after another.
#[derive(Default)]
struct TargetDerivation {
    state: Arc<StoreState>,
    selection: ProbeSelection,
    targets: ProbeTargets,
}

impl TargetDerivation {
    /// Derives the targets again that may differ in `state`. Returns their number.
    fn follow(&mut self, state: Arc<StoreState>, selection: ProbeSelection) -> usize {
        let affected = self.affected(&state, &selection);
        for name in &affected {
            let is_selected = selection.all || selection.requested.contains(name);
            let server = state.servers.get(name).filter(|_| is_selected);
            let target = server.map(|server| target_of(&state, server));
            self.targets.set(name, target);
        }
        (self.state, self.selection) = (state, selection);
        affected.len()
    }

    /// Returns the servers whose targets may differ: written servers, and servers that refer to a written credential.
    fn affected(&self, state: &StoreState, selection: &ProbeSelection) -> BTreeSet<ObjectName> {
        let is_same_scope = selection.all == self.selection.all;
        let changes = state.changes_since(&self.state).filter(|_| is_same_scope);
        let Some(changes) = changes else {
            let all = state.servers.iter().map(|(name, _)| name);
            return all.chain(self.targets.servers()).cloned().collect();
        };
        let (asked, before) = (&selection.requested, &self.selection.requested);
        let mut affected: BTreeSet<ObjectName> =
            asked.symmetric_difference(before).cloned().collect();
        for object in changes.filter_map(ObjectKey::object) {
            let Some(org) = object.org else { continue };
            let name = ObjectName::new(org.clone(), object.id.clone());
            if object.kind == Server::KIND {
                affected.insert(name);
            } else if object.kind == Credential::KIND {
                let servers = state.servers_of_credential(&name);
                affected.extend(servers.map(|id| ObjectName::new(org.clone(), id.clone())));
            }
        }
        affected
    }
}

fn target_of(state: &StoreState, server: &Server) -> ProbeTarget {
    let credential = server.credential.as_ref();
    let credential = credential.map(|id| ObjectName::new(server.name.org.clone(), id.clone()));
    let credential = credential.and_then(|name| state.credentials.get(&name));
    ProbeTarget::of(server, credential.map(|credential| credential.mod_revision))
}

/// Probes on request. The request is answered by this control plane, regardless of the leadership.
pub(crate) struct OnDemandProber {
    discovery: ServerDiscovery,
    requested: Arc<watch::Sender<ProbeRequestCounts>>,
}

impl OnDemandProber {
    pub(crate) fn new(
        discovery: ServerDiscovery,
        requested: Arc<watch::Sender<ProbeRequestCounts>>,
    ) -> Self {
        Self {
            discovery,
            requested,
        }
    }
}

impl ServerProber for OnDemandProber {
    fn probe_now(
        &self,
        server: ObjectName,
    ) -> BoxFuture<'_, Result<ServerDefinitions, ProbeError>> {
        let question = ProbeRequestGuard::new(&self.requested, &server);
        Box::pin(async move {
            let answer = self.discovery.probe_now(server).await;
            drop(question);
            answer
        })
    }
}

/// Keeps its server among the targets of this control plane until dropped.
struct ProbeRequestGuard {
    requested: Arc<watch::Sender<ProbeRequestCounts>>,
    server: ObjectName,
}

impl ProbeRequestGuard {
    fn new(requested: &Arc<watch::Sender<ProbeRequestCounts>>, server: &ObjectName) -> Self {
        requested.send_modify(|requested| *requested.entry(server.clone()).or_default() += 1);
        Self {
            requested: Arc::clone(requested),
            server: server.clone(),
        }
    }
}

impl Drop for ProbeRequestGuard {
    fn drop(&mut self) {
        self.requested.send_modify(|requested| {
            if let Some(count) = requested.get_mut(&self.server) {
                *count -= 1;
            }
            requested.retain(|_, count| *count > 0);
        });
    }
}

/// Writes server definitions to the store.
pub(crate) struct DefinitionsWriter {
    pub(crate) writer: StoreWriter,
    pub(crate) leadership: Leadership,
    pub(crate) requested: watch::Receiver<ProbeRequestCounts>,
    /// Budgets of the servers, and the time of their first use.
    pub(crate) limiter: Mutex<(ObservationLimiter, Option<Instant>)>,
}

impl DefinitionsWriter {
    /// Takes a write of `bytes` from the budgets.
    fn admit(&self, catalogue: &ServerDefinitions, bytes: u64) -> ObservationAdmission {
        let quota = self.writer.space_monitor().space().quota;
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.writer.clock.monotonic();
        let since = now.duration_since(*limiter.1.get_or_insert(now));
        limiter.0.admit(&catalogue.server, bytes, quota, since)
    }

    /// Writes the parts that the store does not have, then the definitions.
    async fn record(
        &self,
        catalogue: ServerDefinitions,
        parts: Vec<Arc<DefinitionsPart>>,
    ) -> Result<(), SubmitError> {
        let server = catalogue.server.clone();
        for part in parts {
            self.submit(&server, &Command::RecordDefinitionsPart(part))
                .await?;
        }
        let command = Command::RecordDefinitions(catalogue);
        for _attempt in 0..MAX_PREPARATIONS {
            if !self.submit(&server, &command).await?.is_preparation() {
                return Ok(());
            }
        }
        Err(SubmitError::Contended)
    }

    /// Writes an observation of `server`. With the leadership, the write is fenced. Without it, only what an operator
    /// requested is written, unfenced.
    async fn submit(&self, server: &ObjectName, command: &Command) -> Result<Change, SubmitError> {
        let is_requested = self.requested.borrow().contains_key(server);
        let context = CommandContext {
            now: self.writer.clock.now(),
            author: CommandAuthor::Task("prober"),
            request: None,
        };
        let Some(fence) = self.leadership.fence() else {
            return match is_requested {
                true => {
                    let outcome = self.writer.write(command, &context).await?;
                    Ok(outcome.change)
                }
                false => Err(SubmitError::Contended),
            };
        };
        let written = self.writer.write_fenced(fence, command, &context).await;
        if written == Err(SubmitError::Contended) && !self.writer.may_be_valid(fence).await {
            self.leadership.invalidate();
        }
        written.map(|outcome| outcome.change)
    }
}

impl DefinitionsSink for DefinitionsWriter {
    fn earlier(&self, server: &ObjectName) -> BoxFuture<'_, Option<ServerDefinitions>> {
        let state = self.writer.current();
        let kept = state.definitions.get(server).map(|kept| ServerDefinitions {
            // How the store holds them is not part of what was seen.
            parts: Vec::new(),
            ..(*kept.object).clone()
        });
        Box::pin(async move { kept })
    }

    fn store(
        &self,
        mut catalogue: ServerDefinitions,
    ) -> BoxFuture<'_, Result<StoreReport, SinkError>> {
        Box::pin(async move {
            let space = self.writer.space_monitor();
            let quota = space.space().quota;
            let writes = DefinitionsWrites::of(&catalogue, &self.writer.current());
            let bytes = u64::try_from(writes.bytes).unwrap_or(u64::MAX);
            if !writes.parts.is_empty()
                && let Err(full) = space.admit_bytes(WritePriority::Observation, bytes)
            {
                return Ok(StoreReport {
                    effect: StoreEffect::Deferred,
                    problem: Some(ProbeProblem::incomplete(
                        full.to_string(),
                        ProbeFailure::StoreFull,
                    )),
                });
            }
            let unstable = || Some(unstable_problem(bytes, quota));
            let report = match self.admit(&catalogue, bytes) {
                ObservationAdmission::Write => StoreReport {
                    effect: StoreEffect::Stored,
                    problem: None,
                },
                ObservationAdmission::WriteUnstable => StoreReport {
                    effect: StoreEffect::StoredAsUnstable,
                    problem: unstable(),
                },
                ObservationAdmission::Postpone => {
                    return Ok(StoreReport {
                        effect: StoreEffect::Deferred,
                        problem: Some(postponed_problem(quota)),
                    });
                }
                ObservationAdmission::Defer => {
                    return Ok(StoreReport {
                        effect: StoreEffect::Deferred,
                        problem: unstable(),
                    });
                }
            };
            if report.problem.is_some() {
                tracing::warn!(server = %catalogue.server, "the definitions change too often");
            }
            catalogue.problem = joined_problem(catalogue.problem.take(), report.problem.clone());
            match self.record(catalogue, writes.parts).await {
                Ok(()) | Err(SubmitError::Rejected(Rejection::NotFound(_))) => Ok(report),
                Err(error) => Err(SinkError(error.to_string())),
            }
        })
    }
}

/// Opens credentials for probes.
pub(crate) struct CredentialHeaders {
    pub(crate) published: watch::Receiver<Arc<PublishedState>>,
    pub(crate) vault: Arc<EnvelopeSealer>,
}

impl HeaderSource for CredentialHeaders {
    fn header(
        &self,
        server: &ObjectName,
        credential: &CredentialRef,
        url: &Url,
    ) -> BoxFuture<'_, Result<PresentedCredential, HeaderError>> {
        let name = ObjectName::new(server.org.clone(), credential.id.clone());
        let found = self.open(&name, url);
        Box::pin(async move { found })
    }
}

impl CredentialHeaders {
    fn open(&self, name: &ObjectName, url: &Url) -> Result<PresentedCredential, HeaderError> {
        let state = Arc::clone(&self.published.borrow().state);
        let missing = || HeaderError(format!("there is no credential {name}; create it"));
        let credential = state.credentials.get(name).ok_or_else(missing)?;
        if !credential.hosts.permits(url) {
            let hosts = &credential.hosts;
            let reason =
                format!("credential {name} may be sent to {hosts} only; change its spec.hosts");
            return Err(HeaderError(reason));
        }
        let unusable = || HeaderError(format!("credential {name} cannot be opened; set it again"));
        let mut opened = Vec::new();
        for field in sealed_credential_fields(credential) {
            let value = self.vault.open_secret(&field.context, field.value);
            opened.push((field.place, field.name, value.map_err(|_| unusable())?));
        }
        let fields = opened.iter();
        let fields = fields.map(|(place, name, value)| (*place, *name, (**value).as_ref()));
        PresentedCredential::encode(fields).ok_or_else(unusable)
    }
}

#[cfg(test)]
mod tests;
