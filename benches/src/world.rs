//! Configurations of a given size, built by the real compiler, for the benchmarks of the core crates.

use std::sync::Arc;

use anyhow::{Context, Result};
use toolgate_control_core::{Compiled, Key, Listed, Marker, Object, State, compile};
use toolgate_data_core::View;
use toolgate_model::{
    AdminRole, Binding, Catalogue, Definition, Digest, DriftPolicy, Era, EraPolicy, Gateway, Meta,
    Name, Organization, PrefixMode, Reach, RelayPolicy, Server, Sharing, Slug, Subject, Timeouts,
    Timestamp, Token, TokenHash,
};

/// Hash of the bearer token in the configuration.
pub const HASH: TokenHash = TokenHash([7; 32]);

/// Size of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of servers, each with definitions.
    pub servers: usize,
    /// Number of tools per server.
    pub tools: usize,
    /// Number of gateways with one server each, in addition to `main` with the first ten servers.
    pub gateways: usize,
}

/// Compiled configuration.
#[derive(Debug)]
pub struct World {
    /// State of the control plane.
    pub state: State,
    /// Compiled snapshot, as sent to the proxies.
    pub compiled: Compiled,
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

fn name(id: &str) -> Result<Name> {
    Ok(Name::new("acme".parse()?, id.parse()?))
}

fn server(id: &str) -> Result<Server> {
    Ok(Server {
        name: name(id)?,
        meta: Meta::default(),
        url: "https://tools.example/mcp".parse()?,
        credential: None,
        era: EraPolicy::Probe,
        timeouts: Timeouts::default(),
        drift: DriftPolicy::default(),
        relay: RelayPolicy::default(),
        sharing: Sharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    })
}

fn catalogue(id: &str, tools: usize) -> Result<Catalogue> {
    Ok(Catalogue {
        server: name(id)?,
        era: Some(Era::Modern),
        protocol_version: "2026-07-28".to_owned(),
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
    })
}

fn gateway(id: &str, servers: &[String]) -> Result<Gateway> {
    let bind = |server: &String| -> Result<Binding> { Ok(Binding::all(server.parse::<Slug>()?)) };
    Ok(Gateway {
        name: name(id)?,
        meta: Meta::default(),
        prefix: PrefixMode::Always,
        listing: toolgate_model::Listing::default(),
        bindings: servers.iter().map(bind).collect::<Result<_>>()?,
        instructions: String::new(),
    })
}

fn token() -> Result<Token> {
    Ok(Token {
        name: name("agent")?,
        meta: Meta::default(),
        scope: Subject::Organization,
        gateways: Reach::All,
        tools: Reach::All,
        expires: None,
        role: AdminRole::None,
        hash: HASH,
        revoked: None,
        hint: "archestra_abc".to_owned(),
        system: false,
    })
}

fn objects(size: Size) -> Result<Vec<(Key, Object)>> {
    let ids: Vec<String> = (0..size.servers)
        .map(|number| format!("server-{number}"))
        .collect();
    let tenant = Organization {
        id: "acme".parse()?,
        meta: Meta::default(),
    };
    let mut objects = vec![
        (
            Key::Marker,
            Object::Marker(Marker {
                epoch: 1,
                written: Timestamp(1),
            }),
        ),
        (
            Key::Organization(tenant.id.clone()),
            Object::Organization(Arc::new(tenant)),
        ),
        (
            Key::Token(name("agent")?),
            Object::Token(Arc::new(token()?)),
        ),
    ];
    for id in &ids {
        objects.push((
            Key::Server(name(id)?),
            Object::Server(Arc::new(server(id)?)),
        ));
        let found = catalogue(id, size.tools)?;
        objects.push((
            Key::Catalogue(name(id)?),
            Object::Catalogue(Arc::new(found)),
        ));
    }
    let main = gateway("main", ids.get(..ids.len().min(10)).unwrap_or_default())?;
    objects.push((Key::Gateway(name("main")?), Object::Gateway(Arc::new(main))));
    for (number, id) in (0..size.gateways).zip(ids.iter().cycle()) {
        let one = format!("gateway-{number}");
        let made = gateway(&one, std::slice::from_ref(id))?;
        objects.push((Key::Gateway(name(&one)?), Object::Gateway(Arc::new(made))));
    }
    Ok(objects)
}

/// Returns the store's listing entry of the object at `key`, modified at `revision`.
fn listed(key: &Key, object: Object, revision: u64) -> Listed {
    Listed {
        key: key.to_string(),
        modified: revision,
        object: Some(Ok(object)),
    }
}

/// Returns the state of a store that contains all objects of `size`.
pub fn state(size: Size) -> Result<State> {
    let mut listing = Vec::new();
    for (revision, (key, object)) in (1..).zip(objects(size)?) {
        listing.push(listed(&key, object, revision));
    }
    let revision = listing.len() as u64;
    Ok(State::from_listing(listing, revision))
}

impl World {
    /// Builds, compiles and indexes a configuration of this size.
    pub fn new(size: Size) -> Result<Self> {
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
    pub fn changed(&self, size: Size) -> Result<State> {
        let mut state = self.state.clone();
        let revision = state.revision() + 1;
        let key = Key::Catalogue(name("server-0")?);
        let object = Object::Catalogue(Arc::new(catalogue("server-0", size.tools - 1)?));
        let event = toolgate_control_core::Event::Put {
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
