//! Construction of a view from a snapshot and the view before. Only what was written since the snapshot before is looked
//! at, and what depends on it: the gateways over a server, and the resources that claim the same id or hash. All else is
//! shared with the view before. A snapshot that is not derived from the one before is looked at as a whole.
//!
//! The construction never fails as a whole: an invalid resource keeps its last good form or is left out, and is reported.

mod features;
mod gateway;
mod server_offer;
mod shared_values;
mod tokens;

use std::{cell::Cell, collections::BTreeSet, sync::Arc};

use toolgate_model::{
    Digest, Era, ObjectName, ResourceKey, ResourceRejection, Slug, Snapshot, SnapshotResource,
    SnapshotResourceKind,
    snapshot::{DefinitionsResource, GatewayResource, ServerResource},
};

use crate::{GatewayView, ServerView, View, authn::external::GatewayTrust};

pub(super) use server_offer::ServerOffer;
pub(super) use shared_values::SharedValues;

/// Number of gateways whose cached lists a view checks, in addition to the replaced gateways.
const CACHE_CHECKS: usize = 64;

/// View under construction.
struct ViewAssembly<'a> {
    snapshot: &'a Snapshot,
    previous: Option<&'a View>,
    /// The view before, in which what was written is replaced. Its entries are the former ones until the end.
    view: View,
    /// Keys of the entries that may differ from the former ones.
    written: BTreeSet<&'a ResourceKey>,
    /// Number of definitions that were read.
    reads: Cell<usize>,
}

pub(super) fn build(
    snapshot: &Snapshot,
    previous: Option<&View>,
) -> (View, Vec<ResourceRejection>) {
    let mut building = ViewAssembly::new(snapshot, previous);
    building.view.visited = building.written.len();
    building.servers();
    building.offers();
    building.gateways();
    building.tokens();
    let mut view = building.view;
    view.definition_reads = building.reads.get();
    view.version = snapshot.version;
    view.entries = snapshot.entries.clone();
    let rejections = view.rejections.iter().flat_map(|(resource, reasons)| {
        let rejection = move |reason: &String| ResourceRejection {
            resource: resource.clone(),
            reason: reason.clone(),
        };
        reasons.iter().map(rejection)
    });
    let rejections = rejections.collect();
    (view, rejections)
}

impl<'a> ViewAssembly<'a> {
    fn new(snapshot: &'a Snapshot, previous: Option<&'a View>) -> Self {
        let derived = previous.and_then(|previous| {
            let written = snapshot.entries.written_since(&previous.entries)?;
            Some((previous.clone(), written.collect()))
        });
        let (view, written) =
            derived.unwrap_or_else(|| (View::empty(), snapshot.entries.keys().collect()));
        Self {
            snapshot,
            previous,
            view,
            written,
            reads: Cell::new(0),
        }
    }

    fn written_of(&self, kind: SnapshotResourceKind) -> Vec<&'a ResourceKey> {
        let written = self.written.iter().copied();
        written.filter(|key| key.kind == kind).collect()
    }

    fn reject(&mut self, resource: &ResourceKey, reason: impl Into<String>) {
        let held = self.view.rejections.get(resource);
        let mut reasons = held.cloned().unwrap_or_default();
        reasons.push(reason.into());
        self.view.rejections.insert_mut(resource.clone(), reasons);
    }

    fn clear_rejections(&mut self, resource: &ResourceKey) {
        if self.view.rejections.contains_key(resource) {
            self.view.rejections.remove_mut(resource);
        }
    }

    /// Returns the server in its new form.
    fn server(&self, name: &ObjectName) -> Option<&Arc<ServerView>> {
        self.view.servers.get(name)
    }

    /// Returns the definitions of a server in their new form, with their digest.
    fn definitions(&self, server: &ObjectName) -> Option<(Digest, &'a DefinitionsResource)> {
        let key = ResourceKey {
            kind: SnapshotResourceKind::Catalogue,
            name: server.clone(),
        };
        let entry = self.snapshot.entries.get(&key)?;
        match &*entry.resource {
            SnapshotResource::Catalogue(definitions) => Some((entry.digest, definitions)),
            SnapshotResource::Gateway(_)
            | SnapshotResource::Server(_)
            | SnapshotResource::Token(_) => None,
        }
    }

    /// Returns what a server offers in its new form.
    fn offer(&self, name: &ObjectName) -> Option<&Arc<ServerOffer>> {
        self.view.offers.get(name)
    }

    /// Replaces the offers of servers that were written, or whose definitions were.
    fn offers(&mut self) {
        let servers = self.written_of(SnapshotResourceKind::Server);
        let definitions = self.written_of(SnapshotResourceKind::Catalogue);
        for key in servers.into_iter().chain(definitions) {
            match self.new_offer(&key.name) {
                Some(offer) => self.view.offers.insert_mut(key.name.clone(), offer),
                None => {
                    self.view.offers.remove_mut(&key.name);
                }
            }
        }
    }

    fn new_offer(&self, name: &ObjectName) -> Option<Arc<ServerOffer>> {
        let key = ResourceKey {
            kind: SnapshotResourceKind::Catalogue,
            name: name.clone(),
        };
        let (entry, server) = (self.snapshot.entries.get(&key)?, self.server(name));
        let before = self.previous.and_then(|view| view.offers.get(name));
        let same = before.filter(|before| before.is_of(server, entry.digest));
        Some(match same {
            Some(same) => Arc::clone(same),
            None => Arc::new(ServerOffer::new(server.cloned(), entry.clone())),
        })
    }

    fn servers(&mut self) {
        for key in self.written_of(SnapshotResourceKind::Server) {
            self.clear_rejections(key);
            let entry = self.snapshot.entries.get(key);
            let found = entry.and_then(|entry| match &*entry.resource {
                SnapshotResource::Server(server) => Some((entry.digest, server)),
                SnapshotResource::Gateway(_)
                | SnapshotResource::Catalogue(_)
                | SnapshotResource::Token(_) => None,
            });
            let view = found.and_then(|(digest, server)| self.server_view(key, digest, server));
            match view {
                Some(view) => self.view.servers.insert_mut(key.name.clone(), view),
                None => {
                    self.view.servers.remove_mut(&key.name);
                }
            }
        }
    }

    fn server_view(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        server: &ServerResource,
    ) -> Option<Arc<ServerView>> {
        let before = self.previous.and_then(|view| view.servers.get(&key.name));
        if let Some(same) = before.filter(|before| before.digest == digest) {
            return Some(Arc::clone(same));
        }
        let mut urls = server.endpoints.iter().map(|endpoint| &endpoint.url);
        let checked =
            urls.all(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if checked {
            let view = ServerView::new(key.name.clone(), digest, server);
            return Some(Arc::new(view));
        }
        self.reject(
            key,
            "the URL of an endpoint is not an absolute http or https URL",
        );
        before.cloned()
    }

    fn gateways(&mut self) {
        let mut affected: BTreeSet<Slug> = BTreeSet::new();
        for key in self.written_of(SnapshotResourceKind::Gateway) {
            self.clear_rejections(key);
            self.index_gateway(key);
            affected.insert(key.name.id.clone());
        }
        let servers = self.written_of(SnapshotResourceKind::Server);
        let definitions = self.written_of(SnapshotResourceKind::Catalogue);
        for key in servers.into_iter().chain(definitions) {
            affected.extend(self.view.gateways_by_server.get(&key.name).cloned());
        }
        affected.extend(self.crowded_gateways());
        for id in affected {
            self.gateways_of_id(&id);
        }
    }

    /// Returns the gateways whose cached lists need room, of the next ones in turn: each view checks a few.
    fn crowded_gateways(&mut self) -> Vec<Slug> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.view.checked_until.take();
        let after = after.as_ref().map_or(Unbounded, |id| Excluded(id.as_str()));
        let gateways = self.view.gateways.range::<str, _>((after, Unbounded));
        let checked: Vec<_> = gateways.map(|(_, it)| it).take(CACHE_CHECKS).collect();
        let last = checked.last().filter(|_| checked.len() == CACHE_CHECKS);
        let until = last.map(|gateway| gateway.name.id.clone());
        let crowded = checked.iter().filter(|it| it.lists.is_half_full());
        let crowded = crowded.map(|it| it.name.id.clone()).collect();
        self.view.checked_until = until;
        crowded
    }

    /// Replaces the former form of a gateway in the indexes.
    fn index_gateway(&mut self, key: &ResourceKey) {
        let ObjectName { org, id } = &key.name;
        let former = self.view.entries.get(key).cloned();
        if let Some(former) = former
            .as_ref()
            .and_then(|it| gateway_resource(&it.resource))
        {
            self.view.gateways_by_id.remove(id, org);
            for server in named_servers(former) {
                let server = ObjectName::new(org.clone(), server.clone());
                self.view.gateways_by_server.remove(&server, id);
            }
        }
        let entry = self.snapshot.entries.get(key);
        if let Some(gateway) = entry.and_then(|it| gateway_resource(&it.resource)) {
            self.view.gateways_by_id.insert(id.clone(), org.clone());
            for server in named_servers(gateway) {
                let server = ObjectName::new(org.clone(), server.clone());
                self.view.gateways_by_server.insert(server, id.clone());
            }
        }
    }

    /// Replaces the gateways that claim this id. The first organization has it.
    fn gateways_of_id(&mut self, id: &Slug) {
        let orgs: Vec<Slug> = self.view.gateways_by_id.get(id).cloned().collect();
        let mut served = None;
        for org in orgs {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Gateway,
                name: ObjectName::new(org, id.clone()),
            };
            self.clear_rejections(&key);
            let Some(entry) = self.snapshot.entries.get(&key) else {
                continue;
            };
            let Some(gateway) = gateway_resource(&entry.resource) else {
                continue;
            };
            if served.is_some() {
                self.reject(&key, "its id is taken by a gateway of another organization");
                continue;
            }
            served = Some(self.gateway(&key, entry.digest, gateway));
        }
        self.replace_anchors(id, served.as_deref());
        match served {
            Some(view) => self.view.gateways.insert_mut(id.as_str().into(), view),
            None => {
                self.view.gateways.remove_mut(id.as_str());
            }
        }
    }

    /// Replaces the anchors by which callers of identity providers are admitted to the gateway with this id.
    fn replace_anchors(&mut self, id: &Slug, served: Option<&GatewayView>) {
        let former = self.view.gateways.get(id.as_str()).cloned();
        let anchors = &mut self.view.trust_anchors;
        for anchor in former
            .iter()
            .filter_map(|it| it.trust.as_ref())
            .flat_map(GatewayTrust::anchors)
        {
            anchors.remove_mut(&anchor);
        }
        for anchor in served
            .iter()
            .filter_map(|it| it.trust.as_ref())
            .flat_map(GatewayTrust::anchors)
        {
            anchors.insert_mut(anchor);
        }
    }

    fn gateway(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        gateway: &GatewayResource,
    ) -> Arc<GatewayView> {
        let inputs = self.inputs_digest(&key.name, digest, gateway);
        let before = self
            .previous
            .and_then(|view| view.gateway(key.name.id.as_str()));
        let same = before.filter(|before| before.digest == inputs && before.name == key.name);
        let view = match same {
            Some(same) if !same.lists.is_half_full() => Arc::clone(same),
            Some(_) | None => Arc::new(gateway::gateway(self, &key.name, inputs, gateway)),
        };
        for problem in view.problems.iter() {
            self.reject(key, problem.as_str());
        }
        view
    }

    /// Digest of all inputs of a gateway's view.
    fn inputs_digest(
        &self,
        gateway: &ObjectName,
        digest: Digest,
        resource: &GatewayResource,
    ) -> Digest {
        let mut bytes = digest.0.to_vec();
        for id in named_servers(resource) {
            let name = ObjectName::new(gateway.org.clone(), id.clone());
            let server = self.server(&name).map(|server| server.digest);
            let catalogue = self.definitions(&name).map(|(digest, _)| digest);
            for digest in [server, catalogue] {
                bytes.push(u8::from(digest.is_some()));
                bytes.extend(digest.map(|digest| digest.0).into_iter().flatten());
            }
        }
        Digest::of_bytes(&bytes)
    }
}

fn gateway_resource(resource: &SnapshotResource) -> Option<&GatewayResource> {
    match resource {
        SnapshotResource::Gateway(gateway) => Some(gateway),
        SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => None,
    }
}

/// Servers that a gateway names anywhere.
fn named_servers(resource: &GatewayResource) -> BTreeSet<&Slug> {
    let tools = resource.tools.iter().map(|tool| &tool.server);
    let prompts = resource.prompts.iter().map(|prompt| &prompt.server);
    let named = tools.chain(prompts).chain(&resource.resources);
    resource.servers.iter().chain(named).collect()
}

impl ServerView {
    fn new(name: ObjectName, digest: Digest, server: &ServerResource) -> Self {
        let version = Some(server.protocol_version.as_str()).filter(|version| !version.is_empty());
        let legacy =
            (server.era == Some(Era::Modern) && !server.legacy_version.is_empty()).then(|| {
                let legacy = ServerResource {
                    era: Some(Era::Legacy),
                    protocol_version: server.legacy_version.clone(),
                    legacy_version: String::new(),
                    ..server.clone()
                };
                Arc::new(Self::new(name.clone(), digest, &legacy))
            });
        Self {
            legacy,
            name,
            endpoints: server.endpoints.clone(),
            credential: server.credential.clone(),
            era: server.era,
            protocol_version: version.map(Box::from),
            timeouts: server.timeouts,
            relay: server.relay,
            sharing: server.sharing,
            max_answer: server.max_answer,
            digest,
        }
    }
}
