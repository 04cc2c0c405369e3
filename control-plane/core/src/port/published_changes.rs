//! Objects that are shown differently in two published states.

use std::collections::BTreeSet;

use toolgate_model::{
    Gateway, KindObject, ObjectName, ProxyStatus, ResourceKey, Server, ServerDefinitions,
    SnapshotResourceKind, Token,
};

use super::PublishedState;
use crate::{key::ObjectKey, kind::StateKind};

impl PublishedState {
    /// Returns the keys of the objects that operators may see differently than in `earlier`, because they were written
    /// or deleted, or compiled or probed with another result; `None` if they are not known, and any object may differ.
    pub fn changed_objects(&self, earlier: &Self) -> Option<BTreeSet<ObjectKey>> {
        let written = self.state.changes_since(&earlier.state)?;
        let written = written.filter(|key| key.kind().is_some()).cloned();
        let mut changed: BTreeSet<ObjectKey> = written.collect();
        let compiled = self.compiled.changes_since(&earlier.compiled)?;
        changed.extend(compiled.map(object_of));
        let probed: Vec<ObjectName> = changed.iter().filter_map(probed_server).collect();
        for server in probed {
            changed.extend(self.gateways_with_problems(&server));
            changed.insert(Server::key(server));
        }
        for server in self.servers_seen_differently(earlier, &changed) {
            let gateways = self.state.gateways_of_server(&server);
            let gateways = gateways.map(|id| ObjectName::new(server.org.clone(), id.clone()));
            changed.extend(gateways.map(Gateway::key));
            changed.insert(Server::key(server));
        }
        if self.compiled.snapshot.version != earlier.compiled.snapshot.version {
            // A proxy is shown with the version that it should have.
            let proxies = self.state.proxies.iter();
            changed.extend(proxies.map(|(id, _)| ProxyStatus::key(id.clone())));
        }
        Some(changed)
    }

    /// Returns the servers that fail, or have failed lately, for proxies, if what proxies see is among the changes.
    fn servers_seen_differently(
        &self,
        earlier: &Self,
        changed: &BTreeSet<ObjectKey>,
    ) -> BTreeSet<ObjectName> {
        let proxies = |state: &Self| -> Vec<_> {
            let proxies = state.state.proxies.iter();
            let changed =
                proxies.filter(|(id, _)| changed.contains(&ProxyStatus::key((*id).clone())));
            let seen =
                changed.map(|(id, proxy)| (id.clone(), proxy.connected, proxy.servers.clone()));
            seen.collect()
        };
        if proxies(self) == proxies(earlier) {
            return BTreeSet::new();
        }
        let all = [earlier, self].into_iter();
        let all = all.flat_map(|it| it.state.proxies.iter());
        all.flat_map(|(_, proxy)| proxy.servers.iter().map(|health| health.server.clone()))
            .collect()
    }

    /// Returns the gateways that bind `server` and have problems, which may include the result of its probe.
    fn gateways_with_problems(&self, server: &ObjectName) -> impl Iterator<Item = ObjectKey> {
        let gateways = self.state.gateways_of_server(server);
        let names = gateways.map(|id| ObjectName::new(server.org.clone(), id.clone()));
        let names = names.filter(|name| {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Gateway,
                name: name.clone(),
            };
            !self.compiled.problems_of(&key).is_empty()
        });
        names.map(Gateway::key)
    }
}

/// Returns the server of definitions.
fn probed_server(key: &ObjectKey) -> Option<ObjectName> {
    let object = key.object()?;
    let org = object
        .org
        .filter(|_| object.kind == ServerDefinitions::KIND)?;
    Some(ObjectName::new(org.clone(), object.id.clone()))
}

/// Returns the key of the object that a resource is compiled from.
fn object_of(resource: &ResourceKey) -> ObjectKey {
    let name = resource.name.clone();
    match resource.kind {
        SnapshotResourceKind::Gateway => Gateway::key(name),
        SnapshotResourceKind::Server => Server::key(name),
        SnapshotResourceKind::Catalogue => ServerDefinitions::key(name),
        SnapshotResourceKind::Token => Token::key(name),
    }
}

#[cfg(test)]
mod tests;
