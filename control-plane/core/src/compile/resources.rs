//! Compiles the resources of a state. A resource is compiled again only if something that it depends on changed, and is
//! serialized and hashed again only if it differs from the previous one.
//!
//! A server, its definitions and the reference to its credential are part of the snapshot only while a served gateway
//! binds the server. Problems of a server are reported in any case.

use std::{collections::BTreeSet, sync::Arc};

use toolgate_model::{
    AllowList, Gateway, ObjectName, ResourceKey, Server, ServerDefinitions, Slug, Snapshot,
    SnapshotResource, SnapshotResourceKind, Token,
    snapshot::{DefinitionsResource, GatewayResource, SnapshotEntry, TokenResource},
};

use crate::state::StoreState;

use super::{
    CompileOutput, CompiledProblems, ConfigProblem, ProblemKind, dependents, gateway, rate_limits,
    server,
};

/// Resource, if the object is served, and its problems.
type CompiledResource = (Option<SnapshotResource>, Vec<ConfigProblem>);

pub(super) fn compile(state: &StoreState, previous: &CompileOutput) -> CompileOutput {
    let affected = dependents::affected(&previous.input, state);
    let affected = affected.unwrap_or_else(|| all_keys(state, previous));
    let mut snapshot = Snapshot {
        version: state.version(),
        entries: previous.snapshot.entries.clone(),
    };
    let mut problems = previous.problems.clone();
    let mut changes = previous.changes.clone();
    for key in affected {
        let (resource, found) = compile_resource(state, &key);
        let before = previous.snapshot.entries.get(&key);
        let entry = resource.map(|resource| match before {
            Some(entry) if *entry.resource == resource => entry.clone(),
            Some(_) | None => SnapshotEntry::new(resource),
        });
        if entry.as_ref() == before && found == previous.problems_of(&key) {
            continue;
        }
        match entry {
            // Unchanged entries are shared, and the snapshot knows what was written.
            Some(entry) if Some(&entry) != before => {
                snapshot.entries.insert(key.clone(), entry);
            }
            Some(_) => {}
            None => {
                snapshot.entries.remove(&key);
            }
        }
        set_problems(&mut problems, &key, found);
        changes.record(key);
    }
    CompileOutput {
        snapshot: Arc::new(snapshot),
        problems,
        input: state.clone(),
        changes,
    }
}

fn set_problems(problems: &mut CompiledProblems, key: &ResourceKey, found: Vec<ConfigProblem>) {
    if found.is_empty() {
        problems.remove_mut(key);
    } else {
        problems.insert_mut(key.clone(), found);
    }
}

/// Returns the keys of all resources that `state` may have or that `previous` has.
fn all_keys(state: &StoreState, previous: &CompileOutput) -> BTreeSet<ResourceKey> {
    let key = |kind, name: &ObjectName| ResourceKey {
        kind,
        name: name.clone(),
    };
    let gateways = state.gateways.iter().map(|(name, _)| name.clone());
    let gateways = gateways.chain(state.unreadable_gateways());
    let gateways = gateways.map(|name| key(SnapshotResourceKind::Gateway, &name));
    let servers = state.servers.iter().flat_map(|(name, _)| {
        let kinds = [
            SnapshotResourceKind::Server,
            SnapshotResourceKind::Catalogue,
        ];
        kinds.map(|kind| key(kind, name))
    });
    let tokens = state.tokens.iter();
    let tokens = tokens.map(|(name, _)| key(SnapshotResourceKind::Token, name));
    let before = previous.snapshot.entries.keys();
    let before = before.chain(previous.problems.keys()).cloned();
    gateways
        .chain(servers)
        .chain(tokens)
        .chain(before)
        .collect()
}

fn compile_resource(state: &StoreState, key: &ResourceKey) -> CompiledResource {
    let name = &key.name;
    match key.kind {
        SnapshotResourceKind::Gateway => {
            let compiled = state.gateways.get(name).map(|stored| {
                let (resource, problems) = gateway::compile(state, stored);
                (resource.map(SnapshotResource::Gateway), problems)
            });
            compiled.unwrap_or_else(|| (unreadable_gateway(state, name), Vec::new()))
        }
        SnapshotResourceKind::Server => {
            let stored = state.servers.get(name);
            let compiled = stored.map(|stored| match server::compile(state, stored) {
                Ok(resource) => {
                    let resource = SnapshotResource::Server(resource);
                    let resource = is_bound(state, name).then_some(resource);
                    (resource, limit_problems(state, stored))
                }
                Err(problem) => (None, vec![problem]),
            });
            compiled.unwrap_or_default()
        }
        SnapshotResourceKind::Catalogue => {
            let is_served = state.servers.contains(name) && is_bound(state, name);
            let seen = state.definitions.get(name).filter(|_| is_served);
            (seen.map(|seen| definitions_resource(seen)), Vec::new())
        }
        SnapshotResourceKind::Token => {
            let live = state.tokens.get(name).filter(|it| is_live(state, it));
            live.map_or_else(Default::default, |token| token_resource(state, token))
        }
    }
}

/// Returns the placeholder of a gateway whose record cannot be read and whose last readable form is not known: its clients
/// are told so, and not that it does not exist.
fn unreadable_gateway(state: &StoreState, name: &ObjectName) -> Option<SnapshotResource> {
    let _claim = state.claim_of_unreadable(name)?;
    Some(SnapshotResource::Gateway(GatewayResource::unreadable()))
}

/// Returns `true` if a served gateway binds the server. Proxies call no other server.
pub(super) fn is_bound(state: &StoreState, server: &ObjectName) -> bool {
    let gateways = state.gateways_of_server(server);
    let mut names = gateways.map(|id| ObjectName::new(server.org.clone(), id.clone()));
    names.any(|name| {
        let is_active = |gateway: &Gateway| {
            let mut bindings = gateway::active_bindings(gateway);
            bindings.any(|(_, binding)| binding.server == server.id)
        };
        let stored = state.gateways.get(&name);
        state.owns_gateway_id(&name) && stored.is_some_and(|it| is_active(it))
    })
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

fn gateway_of<'a>(state: &'a StoreState, token: &Token, id: &Slug) -> Option<&'a Gateway> {
    let name = ObjectName::new(token.name.org.clone(), id.clone());
    state.gateways.get(&name).map(|stored| &*stored.object)
}

/// Returns `true` if the token may be given a gateway whose record cannot be read: its claim tells which one it is.
fn may_admit_to_unreadable(state: &StoreState, token: &Token, id: &Slug) -> bool {
    let name = ObjectName::new(token.name.org.clone(), id.clone());
    let claim = state.claim_of_unreadable(&name);
    claim.is_some_and(|claim| match (claim.uid, token.gateway_uids.get(id)) {
        (Some(uid), Some(given)) => uid == *given,
        (None, _) | (_, None) => true,
    })
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
                    // The gateway denies all requests while its record cannot be read.
                    None if may_admit_to_unreadable(state, token, id) => {
                        admitted.push(id.clone());
                        continue;
                    }
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
