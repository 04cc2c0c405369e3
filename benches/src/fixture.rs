//! Configurations of a given size, built by the real compiler, for the benchmarks of the core crates.

use std::sync::Arc;

use anyhow::{Context, Result};
use toolgate_control_core::{
    CompileOutput, ControlObject, ListedObject, ObjectKey, StoreState, VersionMarker, compile,
};
use toolgate_data_core::View;
use toolgate_model::{
    AdminRole, AllowList, CallTimeouts, Definition, Digest, DriftPolicy, Era, EraPolicy, Gateway,
    ObjectMeta, ObjectName, Organization, PrefixMode, RelayPolicy, Server, ServerBinding,
    ServerDefinitions, SessionSharing, Slug, Timestamp, Token, TokenHash, TokenSubject,
};

/// Hash of the bearer token in the configuration.
pub const HASH: TokenHash = TokenHash([7; 32]);

/// Size of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct FixtureSize {
    /// Number of servers, each with definitions.
    pub servers: usize,
    /// Number of tools per server.
    pub tools: usize,
    /// Number of gateways with one server each, in addition to `main` with the first ten servers.
    pub gateways: usize,
}

/// Compiled configuration.
#[derive(Debug)]
pub struct ConfigFixture {
    /// State of the control plane.
    pub state: StoreState,
    /// Compiled snapshot, as sent to the proxies.
    pub compiled: CompileOutput,
    /// View built from the snapshot, as held by a proxy.
    pub view: View,
}

fn definition(name: &str) -> Definition {
    let json = format!(
        r#"{{"name":"{name}","title":"Search","description":"Searches records and returns those that match the filter, newest first. Use it when the user asks about them.","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string","description":"Full-text query"}},"limit":{{"type":"integer","minimum":1,"maximum":100,"default":20}},"tags":{{"type":"array","items":{{"type":"string"}}}}}},"required":["query"]}},"annotations":{{"readOnlyHint":true}}}}"#
    );
    let digest = Digest::of_bytes(json.as_bytes());
    Definition {
        name: name.to_owned(),
        digest,
        json: json.into(),
    }
}

fn name(id: &str) -> Result<ObjectName> {
    Ok(ObjectName::new("acme".parse()?, id.parse()?))
}

fn server(id: &str) -> Result<Server> {
    Ok(Server {
        name: name(id)?,
        meta: ObjectMeta::default(),
        source: toolgate_model::ServerSource::remote("https://tools.example/mcp".parse()?),
        credential: None,
        era: EraPolicy::Probe,
        protocol_version: None,
        timeouts: CallTimeouts::default(),
        drift: DriftPolicy::default(),
        relay: RelayPolicy::default(),
        sharing: SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
        rate_limits: Vec::new(),
    })
}

fn catalogue(id: &str, tools: usize) -> Result<ServerDefinitions> {
    Ok(ServerDefinitions {
        server: name(id)?,
        era: Some(Era::Modern),
        protocol_version: "2026-07-28".to_owned(),
        legacy_version: String::new(),
        server_name: id.to_owned(),
        server_version: "1".to_owned(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        tools: (0..tools)
            .map(|number| definition(&format!("search_{number:03}")))
            .collect(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: Timestamp(1),
        problem: None,
        problem_since: None,
        omissions: Vec::new(),
        parts: Vec::new(),
    })
}

fn gateway(id: &str, servers: &[String]) -> Result<Gateway> {
    let bind = |server: &String| -> Result<ServerBinding> {
        Ok(ServerBinding::all(server.parse::<Slug>()?))
    };
    Ok(Gateway {
        identity_providers: Vec::new(),
        name: name(id)?,
        meta: ObjectMeta::default(),
        prefix: PrefixMode::Always,
        listing: toolgate_model::ToolListing::default(),
        bindings: servers.iter().map(bind).collect::<Result<_>>()?,
        instructions: String::new(),
        rate_limits: Vec::new(),
    })
}

fn token() -> Result<Token> {
    Ok(Token {
        name: name("agent")?,
        meta: ObjectMeta::default(),
        gateway_uids: std::collections::BTreeMap::new(),
        scope: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        role: AdminRole::None,
        rate_limits: Vec::new(),
        hash: HASH,
        revoked: None,
        hint: "archestra_abc".to_owned(),
        system: false,
    })
}

fn objects(size: FixtureSize) -> Result<Vec<(ObjectKey, ControlObject)>> {
    let ids: Vec<String> = (0..size.servers)
        .map(|number| format!("server-{number}"))
        .collect();
    let tenant = Organization {
        id: "acme".parse()?,
        meta: ObjectMeta::default(),
        rate_limits: Vec::new(),
    };
    let mut objects = vec![
        (
            ObjectKey::Marker,
            ControlObject::Marker(VersionMarker {
                epoch: 1,
                last_change: Timestamp(1),
            }),
        ),
        (
            ObjectKey::Organization(tenant.id.clone()),
            ControlObject::Organization(Arc::new(tenant)),
        ),
        (
            ObjectKey::Token(name("agent")?),
            ControlObject::Token(Arc::new(token()?)),
        ),
    ];
    for id in &ids {
        objects.push((
            ObjectKey::Server(name(id)?),
            ControlObject::Server(Arc::new(server(id)?)),
        ));
        let found = catalogue(id, size.tools)?;
        objects.push((
            ObjectKey::Definitions(name(id)?),
            ControlObject::Definitions(Arc::new(found)),
        ));
    }
    let main = gateway("main", ids.get(..ids.len().min(10)).unwrap_or_default())?;
    objects.push((
        ObjectKey::Gateway(name("main")?),
        ControlObject::Gateway(Arc::new(main)),
    ));
    for (number, id) in (0..size.gateways).zip(ids.iter().cycle()) {
        let one = format!("gateway-{number}");
        let made = gateway(&one, std::slice::from_ref(id))?;
        objects.push((
            ObjectKey::Gateway(name(&one)?),
            ControlObject::Gateway(Arc::new(made)),
        ));
    }
    Ok(objects)
}

/// Returns the store's listing entry of the object at `key`, modified at `revision`.
fn listed(key: &ObjectKey, object: ControlObject, revision: u64) -> ListedObject {
    ListedObject {
        key: key.to_string(),
        mod_revision: revision,
        object: Some(Ok(object)),
    }
}

/// Returns the state of a store that contains all objects of `size`.
pub fn state(size: FixtureSize) -> Result<StoreState> {
    let mut listing = Vec::new();
    for (revision, (key, object)) in (1..).zip(objects(size)?) {
        listing.push(listed(&key, object, revision));
    }
    let revision = listing.len() as u64;
    Ok(StoreState::from_listing(listing, revision))
}

impl ConfigFixture {
    /// Builds, compiles and indexes a configuration of this size.
    pub fn new(size: FixtureSize) -> Result<Self> {
        let state = state(size)?;
        let compiled = compile(&state);
        let (view, refused) = View::build(&compiled.snapshot, None);
        anyhow::ensure!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        anyhow::ensure!(refused.is_empty(), "{refused:?}");
        view.gateway("main").context("no main gateway")?;
        Ok(Self {
            state,
            compiled,
            view,
        })
    }

    /// Returns the state after one tool was removed from one server's definitions.
    pub fn changed(&self, size: FixtureSize) -> Result<StoreState> {
        let mut state = self.state.clone();
        let revision = state.revision() + 1;
        let key = ObjectKey::Definitions(name("server-0")?);
        let object = ControlObject::Definitions(Arc::new(catalogue("server-0", size.tools - 1)?));
        let event = toolgate_control_core::ObjectEvent::Put {
            key: key.to_string(),
            modified: revision,
            object: Ok(object),
        };
        state.apply([event], revision);
        Ok(state)
    }
}

#[cfg(test)]
mod tests;
