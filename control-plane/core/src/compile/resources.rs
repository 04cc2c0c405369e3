//! Compiles all resources of a state. Each resource depends on a few objects. While the revisions of these objects
//! are unchanged, the resource is taken from the previous compilation without serializing or hashing it again.
//!
//! A server, its definitions and the reference to its credential are part of the snapshot only while a served gateway
//! binds the server. Problems of a server are reported in any case.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_model::{
    AllowList, Gateway, ObjectName, ResourceKey, Server, ServerDefinitions, Slug, Snapshot,
    SnapshotResource, SnapshotResourceKind, Token,
    snapshot::{DefinitionsResource, SnapshotEntry, TokenResource},
};

use crate::{object_table::VersionedObject, port::Revision, state::StoreState};

use super::{CompileOutput, ConfigProblem, ProblemKind, gateway, rate_limits, server};

pub(super) fn compile(state: &StoreState, previous: &CompileOutput) -> CompileOutput {
    let mut work = SnapshotBuilder {
        previous,
        snapshot: Snapshot {
            version: state.version(),
            entries: BTreeMap::new(),
        },
        problems: BTreeMap::new(),
        sources: BTreeMap::new(),
    };
    let owners = gateway_owners(state);
    let bound = bound_servers(state, &owners);
    for (name, stored) in state.gateways.iter() {
        let owner = owners.get(&name.id).copied().unwrap_or(&name.org);
        let sources = gateway_sources(state, stored, owner);
        work.add(SnapshotResourceKind::Gateway, name, sources, || {
            let (resource, problems) = gateway::compile(state, stored, owner);
            (resource.map(SnapshotResource::Gateway), problems)
        });
    }
    for (name, stored) in state.servers.iter() {
        let is_bound = bound.contains(name);
        let mut sources = server_sources(state, name).to_vec();
        sources.push(is_bound.into());
        work.add(
            SnapshotResourceKind::Server,
            name,
            sources,
            || match server::compile(state, stored) {
                Ok(resource) => {
                    let resource = is_bound.then_some(SnapshotResource::Server(resource));
                    (resource, limit_problems(state, stored))
                }
                Err(problem) => (None, vec![problem]),
            },
        );
        if let Some(catalogue) = state.definitions.get(name).filter(|_| is_bound) {
            work.add(
                SnapshotResourceKind::Catalogue,
                name,
                vec![catalogue.mod_revision],
                || (Some(definitions_resource(catalogue)), Vec::new()),
            );
        }
    }
    for (name, stored) in state
        .tokens
        .iter()
        .filter(|(_, token)| is_live(state, token))
    {
        work.add(
            SnapshotResourceKind::Token,
            name,
            token_sources(state, stored),
            || token_resource(state, stored),
        );
    }
    work.finish()
}

struct SnapshotBuilder<'a> {
    previous: &'a CompileOutput,
    snapshot: Snapshot,
    problems: BTreeMap<ResourceKey, Vec<ConfigProblem>>,
    sources: BTreeMap<ResourceKey, Vec<Revision>>,
}

impl SnapshotBuilder<'_> {
    fn add(
        &mut self,
        kind: SnapshotResourceKind,
        name: &ObjectName,
        sources: Vec<Revision>,
        make: impl FnOnce() -> (Option<SnapshotResource>, Vec<ConfigProblem>),
    ) {
        let name = name.clone();
        let key = ResourceKey { kind, name };
        let (entry, problems) = if self.previous.sources.get(&key) == Some(&sources) {
            let entry = self.previous.snapshot.entries.get(&key).cloned();
            (entry, self.previous.problems_of(&key).to_vec())
        } else {
            let (resource, problems) = make();
            (resource.map(SnapshotEntry::new), problems)
        };
        if let Some(entry) = entry {
            self.snapshot.entries.insert(key.clone(), entry);
        }
        if !problems.is_empty() {
            self.problems.insert(key.clone(), problems);
        }
        self.sources.insert(key, sources);
    }

    fn finish(self) -> CompileOutput {
        CompileOutput {
            snapshot: Arc::new(self.snapshot),
            problems: self.problems,
            sources: self.sources,
        }
    }
}

/// Maps gateway ids to the owning organization. The claim of an id decides. An id without a claim, which only a
/// direct write to the store produces, belongs to the first organization that has a gateway of this id.
fn gateway_owners(state: &StoreState) -> BTreeMap<&Slug, &Slug> {
    let mut owners = BTreeMap::new();
    for (name, _) in state.gateways.iter() {
        owners.entry(&name.id).or_insert(&name.org);
    }
    for (id, claim) in state.gateway_ids.iter() {
        owners.insert(id, &*claim.object);
    }
    owners
}

/// Returns the servers that a served gateway binds. Proxies call no other server.
fn bound_servers(state: &StoreState, owners: &BTreeMap<&Slug, &Slug>) -> BTreeSet<ObjectName> {
    let gateways = state.gateways.iter();
    let served = gateways.filter(|(name, _)| owners.get(&name.id) == Some(&&name.org));
    let bound = served.flat_map(|(name, stored)| {
        let servers = gateway::active_bindings(stored).map(|(_, binding)| &binding.server);
        servers.map(|server| ObjectName::new(name.org.clone(), server.clone()))
    });
    bound.collect()
}

fn gateway_sources(
    state: &StoreState,
    gateway: &VersionedObject<Gateway>,
    owner: &Slug,
) -> Vec<Revision> {
    let owned = u64::from(*owner == gateway.name.org);
    let organization = state.organizations.get(&gateway.name.org);
    let organization = organization.map_or(0, |stored| stored.mod_revision);
    let mut sources = vec![gateway.mod_revision, owned, organization];
    for binding in &gateway.bindings {
        let server = ObjectName::new(gateway.name.org.clone(), binding.server.clone());
        sources.extend(server_sources(state, &server));
    }
    sources
}

/// Revisions of a server, its credential and its definitions; 0 for each that does not exist.
fn server_sources(state: &StoreState, name: &ObjectName) -> [Revision; 3] {
    let server: Option<&VersionedObject<Server>> = state.servers.get(name);
    let credential = server.and_then(|server| server.credential.clone());
    let credential = credential.map(|id| ObjectName::new(name.org.clone(), id));
    let credential = credential.and_then(|name| state.credentials.get(&name));
    let catalogue = state.definitions.get(name);
    [
        server.map_or(0, |stored| stored.mod_revision),
        credential.map_or(0, |stored| stored.mod_revision),
        catalogue.map_or(0, |stored| stored.mod_revision),
    ]
}

/// Returns the problems of the rate limits of a server that was probed.
fn limit_problems(state: &StoreState, server: &Server) -> Vec<ConfigProblem> {
    let found = state.definitions.get(&server.name);
    found
        .filter(|found| found.era.is_some())
        .map_or_else(Vec::new, |found| {
            rate_limits::unknown_tools("spec", &server.rate_limits, &server.name.id, found)
        })
}

/// Returns `true` if the token is valid at the time of the last change. Proxies check the expiry again with their
/// own clock.
fn is_live(state: &StoreState, token: &Token) -> bool {
    let expired = token.expires.is_some_and(|at| at <= state.last_change());
    token.revoked.is_none() && !expired
}

fn definitions_resource(catalogue: &ServerDefinitions) -> SnapshotResource {
    SnapshotResource::Catalogue(DefinitionsResource {
        tools: catalogue.tools.clone(),
        prompts: catalogue.prompts.clone(),
        resources: catalogue.resources.clone(),
        templates: catalogue.templates.clone(),
        instructions: catalogue.instructions.clone(),
        capabilities: catalogue.capabilities.clone(),
    })
}

/// Revision of a token, and the identities of the gateways that it lists; 0 for each that does not exist.
fn token_sources(state: &StoreState, token: &VersionedObject<Token>) -> Vec<Revision> {
    let mut sources = vec![token.mod_revision];
    if let AllowList::Only(listed) = &token.gateways {
        let gateways = listed.iter().map(|id| gateway_of(state, token, id));
        sources.extend(gateways.map(|found| found.map_or(0, |it| it.meta.uid.number())));
    }
    sources
}

fn gateway_of<'a>(state: &'a StoreState, token: &Token, id: &Slug) -> Option<&'a Gateway> {
    let name = ObjectName::new(token.name.org.clone(), id.clone());
    state.gateways.get(&name).map(|stored| &*stored.object)
}

/// Compiles a token. Gateways that it was not given, because they were made later under the same name, are left out.
fn token_resource(
    state: &StoreState,
    token: &Token,
) -> (Option<SnapshotResource>, Vec<ConfigProblem>) {
    let mut problems = Vec::new();
    let gateways = match &token.gateways {
        AllowList::All => AllowList::All,
        AllowList::Only(listed) => {
            let mut admitted = Vec::new();
            for (index, id) in listed.iter().enumerate() {
                let kind = match gateway_of(state, token, id) {
                    Some(gateway) if token.admits_to(gateway) => {
                        admitted.push(id.clone());
                        continue;
                    }
                    Some(_) => ProblemKind::GatewayReplaced(id.clone()),
                    None => ProblemKind::GatewayDeleted(id.clone()),
                };
                let field = format!("spec.gateways[{index}]");
                problems.push(ConfigProblem { field, kind });
            }
            AllowList::Only(admitted)
        }
    };
    let resource = SnapshotResource::Token(TokenResource {
        hash: token.hash,
        subject: token.scope.clone(),
        gateways,
        tools: token.tools.clone(),
        expires: token.expires,
        rate_limits: token.rate_limits.clone(),
    });
    (Some(resource), problems)
}
