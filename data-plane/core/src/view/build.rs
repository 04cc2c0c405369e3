//! Construction of a view from a snapshot. The construction never fails as a whole: an invalid resource keeps its last
//! good form or is left out, and is reported.

mod features;
mod gateway;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_model::{
    Digest, Era, ObjectName, Principal, ResourceKey, ResourceRejection, Slug, Snapshot,
    SnapshotResource, Uid,
    snapshot::{DefinitionsResource, GatewayResource, ServerResource, TokenResource},
};

use crate::{
    Authn, AuthnId, AuthnKind, Caller, GatewayView, Grant, ServerView, View,
    authn::token_view::TokenView, policy::FilterChain,
};

/// View under construction, with the lookup tables of the resources indexed so far.
struct ViewAssembly<'a> {
    previous: Option<&'a View>,
    servers: BTreeMap<ObjectName, Arc<ServerView>>,
    definitions: BTreeMap<&'a ObjectName, (Digest, &'a DefinitionsResource)>,
    principals: BTreeMap<Principal, Arc<Principal>>,
    grants: BTreeMap<Digest, Arc<Grant>>,
    rejections: Vec<ResourceRejection>,
}

pub(super) fn build(
    snapshot: &Snapshot,
    previous: Option<&View>,
) -> (View, Vec<ResourceRejection>) {
    let mut building = ViewAssembly {
        previous,
        servers: BTreeMap::new(),
        definitions: BTreeMap::new(),
        principals: BTreeMap::new(),
        grants: BTreeMap::new(),
        rejections: Vec::new(),
    };
    let mut gateways = Vec::new();
    let mut tokens = Vec::new();
    for (key, entry) in &snapshot.entries {
        match entry.resource.as_ref() {
            SnapshotResource::Gateway(gateway) => gateways.push((key, entry.digest, gateway)),
            SnapshotResource::Token(token) => tokens.push((key, entry.digest, token)),
            SnapshotResource::Server(server) => building.server(key, entry.digest, server),
            SnapshotResource::Catalogue(catalogue) => {
                let found = (entry.digest, catalogue);
                building.definitions.insert(&key.name, found);
            }
        }
    }
    let gateways = building.gateways(gateways);
    let tokens = building.tokens(tokens);
    let view = View {
        version: snapshot.version,
        gateways,
        servers: building.servers,
        tokens,
    };
    (view, building.rejections)
}

impl<'a> ViewAssembly<'a> {
    fn reject(&mut self, resource: &ResourceKey, reason: impl Into<String>) {
        let resource = resource.clone();
        let reason = reason.into();
        self.rejections.push(ResourceRejection { resource, reason });
    }

    fn server(&mut self, key: &ResourceKey, digest: Digest, server: &ServerResource) {
        let before = self.previous.and_then(|view| view.servers.get(&key.name));
        if let Some(same) = before.filter(|before| before.digest == digest) {
            self.servers.insert(key.name.clone(), Arc::clone(same));
            return;
        }
        let mut urls = server.endpoints.iter().map(|endpoint| &endpoint.url);
        let checked =
            urls.all(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if checked {
            let view = ServerView::new(key.name.clone(), digest, server);
            self.servers.insert(key.name.clone(), Arc::new(view));
            return;
        }
        if let Some(last_good) = before {
            self.servers.insert(key.name.clone(), Arc::clone(last_good));
        }
        self.reject(
            key,
            "the URL of an endpoint is not an absolute http or https URL",
        );
    }

    fn gateways(
        &mut self,
        found: Vec<(&ResourceKey, Digest, &GatewayResource)>,
    ) -> BTreeMap<Box<str>, Arc<GatewayView>> {
        let mut gateways: BTreeMap<Box<str>, Arc<GatewayView>> = BTreeMap::new();
        for (key, digest, gateway) in found {
            if gateways.contains_key(key.name.id.as_str()) {
                self.reject(key, "its id is taken by a gateway of another organization");
                continue;
            }
            let view = self.gateway(key, digest, gateway);
            gateways.insert(key.name.id.as_str().into(), view);
        }
        gateways
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
        let (view, problems) = match same {
            Some(same) if !same.lists.is_half_full() => {
                let problems = same.problems.to_vec();
                (Arc::clone(same), problems)
            }
            Some(_) | None => {
                let view = gateway::gateway(self, &key.name, inputs, gateway);
                let problems = view.problems.to_vec();
                (Arc::new(view), problems)
            }
        };
        for problem in problems {
            self.reject(key, problem);
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
        let tools = resource.tools.iter().map(|tool| &tool.server);
        let prompts = resource.prompts.iter().map(|prompt| &prompt.server);
        let named = tools.chain(prompts).chain(&resource.resources);
        let all: BTreeSet<&Slug> = resource.servers.iter().chain(named).collect();
        for id in all {
            let name = ObjectName::new(gateway.org.clone(), id.clone());
            let server = self.servers.get(&name).map(|server| server.digest);
            let catalogue = self.definitions.get(&name).map(|(digest, _)| *digest);
            for digest in [server, catalogue] {
                bytes.push(u8::from(digest.is_some()));
                bytes.extend(digest.map(|digest| digest.0).into_iter().flatten());
            }
        }
        Digest::of_bytes(&bytes)
    }

    fn tokens(
        &mut self,
        found: Vec<(&ResourceKey, Digest, &TokenResource)>,
    ) -> BTreeMap<AuthnId, Arc<TokenView>> {
        let mut tokens = BTreeMap::new();
        for (key, digest, token) in found {
            let id = AuthnId::from(token.hash);
            if tokens.contains_key(&id) {
                self.reject(key, "another token has the same hash");
                continue;
            }
            tokens.insert(id, self.token(key, digest, token));
        }
        tokens
    }

    fn token(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        token: &TokenResource,
    ) -> Arc<TokenView> {
        let id = AuthnId::from(token.hash);
        let before = self.previous.and_then(|view| view.token(&id));
        let same = before.filter(|before| before.digest == digest && before.name == key.name);
        if let Some(same) = same {
            // Later tokens share its principal and grant.
            let (principal, grant) = (same.caller.principal(), same.caller.grant());
            self.principals
                .entry(Principal::clone(principal))
                .or_insert_with(|| Arc::clone(principal));
            self.grants
                .entry(grant.digest())
                .or_insert_with(|| Arc::clone(grant));
            return Arc::clone(same);
        }
        let principal = Principal::of_token(&key.name, &token.hash, &token.subject);
        let principal = self
            .principals
            .entry(principal)
            .or_insert_with_key(|principal| Arc::new(principal.clone()));
        let principal = Arc::clone(principal);
        let grant = Grant::new(&token.gateways, &token.tools);
        let grant = self
            .grants
            .entry(grant.digest())
            .or_insert_with(|| Arc::new(grant));
        let authn = Authn {
            id,
            kind: AuthnKind::ApiToken,
            expires: token.expires,
        };
        let admit =
            FilterChain::of_token(Uid::of_token(&key.name, &token.hash), &token.rate_limits);
        Arc::new(TokenView {
            name: key.name.clone(),
            caller: Caller::new(principal, Arc::clone(grant), authn).with_admit_filters(admit),
            digest,
        })
    }
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
