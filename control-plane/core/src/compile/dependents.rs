//! Resources that the changes between two states affect. They are found through the indexes of the states, so that the
//! work depends on what changed and on what refers to it, and not on the number of objects.

use std::collections::BTreeSet;

use toolgate_model::{
    GatewayClaim, ObjectName, RateLimit, ResourceKey, ServerDefinitions, Slug,
    SnapshotResourceKind, Timestamp, Uid,
};

use crate::{key::ObjectKey, state::StoreState};

use super::{gateway::active_bindings, resources, server};

/// Returns the keys of the resources whose content or problems may differ; `None` if they cannot be told from the changes,
/// and any resource may differ.
pub(super) fn affected(before: &StoreState, after: &StoreState) -> Option<BTreeSet<ResourceKey>> {
    if before.last_change() > after.last_change() {
        // Tokens that had expired are valid again.
        return None;
    }
    let changed: BTreeSet<&ObjectKey> = after.changes_since(before)?.collect();
    let mut affected = AffectedResources {
        before,
        after,
        keys: BTreeSet::new(),
    };
    for key in changed {
        affected.add_dependents(key);
    }
    for token in after.tokens_expiring(before.last_change(), after.last_change()) {
        affected.add(SnapshotResourceKind::Token, token);
    }
    Some(affected.keys)
}

/// Returns `true` if two probes of a server compile differently. The probe time and the probe error are not compiled,
/// because proxies do not use them.
pub(crate) fn definitions_differ(before: &ServerDefinitions, next: &ServerDefinitions) -> bool {
    before.tools != next.tools
        || before.prompts != next.prompts
        || before.resources != next.resources
        || before.templates != next.templates
        || before.instructions != next.instructions
        || before.capabilities != next.capabilities
        || before.omissions != next.omissions
        || before.era != next.era
        || before.protocol_version != next.protocol_version
        || before.legacy_version != next.legacy_version
}

struct AffectedResources<'a> {
    before: &'a StoreState,
    after: &'a StoreState,
    keys: BTreeSet<ResourceKey>,
}

impl AffectedResources<'_> {
    fn add(&mut self, kind: SnapshotResourceKind, name: &ObjectName) {
        let name = name.clone();
        self.keys.insert(ResourceKey { kind, name });
    }

    fn add_dependents(&mut self, key: &ObjectKey) {
        if let ObjectKey::Gateway(name) = key {
            self.add_gateway(name);
        } else if let ObjectKey::GatewayId(id) = key {
            self.add_gateways_of_id(id);
            self.add_unreadable_gateways_of_id(id);
        } else if let ObjectKey::Server(name) = key {
            self.add_server(name);
        } else if let ObjectKey::Definitions(name) = key {
            self.add_definitions(name);
        } else if let ObjectKey::Credential(name) = key {
            for server in self.after.servers_of_credential(name) {
                self.add_server(&ObjectName::new(name.org.clone(), server.clone()));
            }
        } else if let ObjectKey::IdentityProvider(name) = key {
            for gateway in self.after.gateways_of_provider(name) {
                let gateway = ObjectName::new(name.org.clone(), gateway.clone());
                self.add(SnapshotResourceKind::Gateway, &gateway);
            }
        } else if let ObjectKey::Token(name) = key {
            self.add(SnapshotResourceKind::Token, name);
        } else if let ObjectKey::Organization(org) = key {
            self.add_organization(org);
        }
    }

    fn add_gateway(&mut self, name: &ObjectName) {
        self.add(SnapshotResourceKind::Gateway, name);
        self.add_gateways_of_id(&name.id);
        if gateway_identity(self.before, name) != gateway_identity(self.after, name) {
            for token in self.after.tokens_of_gateway(name) {
                let token = ObjectName::new(name.org.clone(), token.clone());
                self.add(SnapshotResourceKind::Token, &token);
            }
        }
    }

    /// Adds all gateways of this id, of which one is served, and the servers that are bound now and were not, or the
    /// reverse.
    fn add_gateways_of_id(&mut self, id: &Slug) {
        let mut servers = BTreeSet::new();
        for state in [self.before, self.after] {
            for org in state.organizations_of_gateway_id(id) {
                let name = ObjectName::new(org.clone(), id.clone());
                self.add(SnapshotResourceKind::Gateway, &name);
                let stored = state.gateways.get(&name);
                let bindings = stored.into_iter().flat_map(|it| active_bindings(it));
                let names = bindings.map(|(_, binding)| binding.server.clone());
                servers.extend(names.map(|server| ObjectName::new(org.clone(), server)));
            }
        }
        for server in servers {
            let is_bound = |state| resources::is_bound(state, &server);
            if is_bound(self.before) != is_bound(self.after) {
                self.add(SnapshotResourceKind::Server, &server);
                self.add(SnapshotResourceKind::Catalogue, &server);
            }
        }
    }

    /// Adds the gateways whose records cannot be read, and whose claims changed.
    fn add_unreadable_gateways_of_id(&mut self, id: &Slug) {
        for state in [self.before, self.after] {
            if let Some(claim) = state.gateway_ids.get(id) {
                self.add_gateway(&ObjectName::new(claim.org.clone(), id.clone()));
            }
        }
    }

    fn add_server(&mut self, name: &ObjectName) {
        self.add(SnapshotResourceKind::Server, name);
        if self.before.servers.contains(name) != self.after.servers.contains(name) {
            self.add(SnapshotResourceKind::Catalogue, name);
        }
        if seen_by_gateways(self.before, name) != seen_by_gateways(self.after, name) {
            self.add_gateways_of_server(name);
        }
    }

    fn add_definitions(&mut self, name: &ObjectName) {
        let before = self.before.definitions.get(name);
        let is_same = match (before, self.after.definitions.get(name)) {
            (Some(before), Some(after)) => !definitions_differ(before, after),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same {
            return;
        }
        self.add(SnapshotResourceKind::Server, name);
        self.add(SnapshotResourceKind::Catalogue, name);
        self.add_gateways_of_server(name);
    }

    fn add_gateways_of_server(&mut self, server: &ObjectName) {
        for gateway in self.after.gateways_of_server(server) {
            let gateway = ObjectName::new(server.org.clone(), gateway.clone());
            self.add(SnapshotResourceKind::Gateway, &gateway);
        }
    }

    /// Adds the gateways of an organization whose rate limits changed.
    fn add_organization(&mut self, org: &Slug) {
        if limits_of_organization(self.before, org) == limits_of_organization(self.after, org) {
            return;
        }
        for gateway in self.after.gateways.owned_by(org) {
            self.add(SnapshotResourceKind::Gateway, gateway);
        }
    }
}

fn limits_of_organization<'a>(state: &'a StoreState, org: &Slug) -> &'a [RateLimit] {
    let stored = state.organizations.get(org);
    stored.map_or(&[][..], |stored| stored.rate_limits.as_slice())
}

/// Returns the parts of a gateway that decide which tokens it admits, and its claim if its record cannot be read.
fn gateway_identity<'a>(
    state: &'a StoreState,
    name: &ObjectName,
) -> (Option<(Uid, Timestamp)>, Option<&'a GatewayClaim>) {
    let stored = state.gateways.get(name);
    let identity = stored.map(|stored| (stored.meta.uid, stored.meta.created));
    (identity, state.claim_of_unreadable(name))
}

/// Returns the parts of a server, apart from its definitions, that its gateways depend on: whether it is served, and its
/// rate limits; `None` if it does not exist.
fn seen_by_gateways<'a>(
    state: &'a StoreState,
    name: &ObjectName,
) -> Option<(bool, &'a [RateLimit])> {
    let stored = state.servers.get(name)?;
    let is_served = server::compile(state, stored).is_ok();
    Some((is_served, stored.rate_limits.as_slice()))
}
