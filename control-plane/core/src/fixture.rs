//! Test fixtures: sample objects, and an in-memory store that commits the changes returned by decide.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{
    AdminRole, AllowList, CallTimeouts, Credential, CredentialHosts, CredentialKind, Definition,
    Digest, DriftPolicy, Era, EraPolicy, Gateway, ObjectMeta, ObjectName, Organization, PrefixMode,
    RelayPolicy, SealedBlob, Server, ServerBinding, ServerDefinitions, SessionSharing, Slug,
    Timestamp, Token, TokenHash, TokenSubject,
};

use crate::{
    Change, Command, CommandAuthor, CommandContext, ControlObject, ListedObject, ObjectEvent,
    ObjectKey, OperatorObject, Rejection, StoreState, decide,
};

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn name(org: &str, id: &str) -> ObjectName {
    ObjectName::new(slug(org), slug(id))
}

pub(crate) fn context(now: u64) -> CommandContext {
    CommandContext {
        now: Timestamp(now),
        author: CommandAuthor::SYSTEM,
        request: None,
    }
}

pub(crate) fn organization(id: &str) -> Organization {
    Organization {
        id: slug(id),
        meta: ObjectMeta::default(),
        rate_limits: Vec::new(),
    }
}

pub(crate) fn server(org: &str, id: &str, credential: Option<&str>) -> Server {
    Server {
        name: name(org, id),
        meta: ObjectMeta::default(),
        source: toolgate_model::ServerSource::remote("http://127.0.0.1:9/mcp".parse().unwrap()),
        credential: credential.map(slug),
        era: EraPolicy::Probe,
        protocol_version: None,
        timeouts: CallTimeouts::default(),
        drift: DriftPolicy::Follow,
        relay: RelayPolicy::default(),
        sharing: SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
        rate_limits: Vec::new(),
    }
}

pub(crate) fn credential(org: &str, id: &str) -> Credential {
    Credential {
        name: name(org, id),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["http://127.0.0.1:9".parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".to_owned(),
            value: sealed(),
        },
    }
}

pub(crate) fn sealed() -> SealedBlob {
    SealedBlob {
        key_id: "k".to_owned(),
        wrapped_key: vec![1],
        ciphertext: vec![2],
    }
}

pub(crate) fn gateway(org: &str, id: &str, prefix: PrefixMode, servers: &[&str]) -> Gateway {
    let all = |server: &&str| ServerBinding::all(slug(server));
    Gateway {
        identity_providers: Vec::new(),
        name: name(org, id),
        meta: ObjectMeta::default(),
        prefix,
        listing: toolgate_model::ToolListing::default(),
        bindings: servers.iter().map(all).collect(),
        instructions: String::new(),
        rate_limits: Vec::new(),
    }
}

pub(crate) fn token(org: &str, id: &str) -> Token {
    let hash = Digest::of_bytes(format!("{org}/{id}").as_bytes());
    Token {
        name: name(org, id),
        meta: ObjectMeta::default(),
        gateway_uids: std::collections::BTreeMap::new(),
        scope: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        role: AdminRole::None,
        rate_limits: Vec::new(),
        hash: TokenHash(hash.0),
        revoked: None,
        hint: "archestra_abc".to_owned(),
        system: false,
    }
}

pub(crate) fn definition(name: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        digest: Digest::of_bytes(name.as_bytes()),
        json: format!("{{\"name\":\"{name}\"}}").into(),
    }
}

pub(crate) fn catalogue(org: &str, server: &str, tools: &[&str]) -> ServerDefinitions {
    ServerDefinitions {
        server: name(org, server),
        era: Some(Era::Modern),
        protocol_version: "2026-07-28".to_owned(),
        legacy_version: String::new(),
        server_name: server.to_owned(),
        server_version: "1".to_owned(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        tools: tools.iter().copied().map(definition).collect(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: Timestamp(1),
        problem: None,
        problem_since: None,
        omissions: Vec::new(),
        parts: Vec::new(),
    }
}

/// In-memory store of encoded keys with its decoded state.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreFixture {
    pub(crate) state: StoreState,
    pub(crate) entries: BTreeMap<String, (u64, ControlObject)>,
    pub(crate) revision: u64,
    pub(crate) last: Vec<ObjectEvent>,
}

impl StoreFixture {
    /// Creates a fixture with a marker and these organizations.
    pub(crate) fn with(orgs: &[&str]) -> Self {
        let mut world = Self::default();
        world.run(Command::BumpEpoch).unwrap();
        for org in orgs {
            world
                .create(OperatorObject::Organization(organization(org)))
                .unwrap();
        }
        world
    }

    pub(crate) fn create(&mut self, object: OperatorObject) -> Result<Change, Rejection> {
        self.run(Command::Create(object))
    }

    pub(crate) fn run(&mut self, command: Command) -> Result<Change, Rejection> {
        let context = context(1_000 + self.revision);
        self.run_as(&command, &context)
    }

    pub(crate) fn run_as(
        &mut self,
        command: &Command,
        context: &CommandContext,
    ) -> Result<Change, Rejection> {
        let change = decide(&self.state, command, context)?;
        assert!(
            self.commit(&change),
            "a change decided on the current state commits"
        );
        Ok(change)
    }

    /// Commits a change that was decided on the current state as a store does: all of it or nothing.
    pub(crate) fn commit(&mut self, change: &Change) -> bool {
        self.commit_decided_on(&self.state.clone(), change)
    }

    /// Commits a change that was decided on `base`, like [`Self::commit`].
    pub(crate) fn commit_decided_on(&mut self, base: &StoreState, change: &Change) -> bool {
        if !self.guards_hold(base, change) {
            return false;
        }
        if change.is_empty() {
            return true;
        }
        self.revision += 1;
        let mut events = Vec::new();
        for (key, object) in &change.puts {
            let key = key.to_string();
            self.entries
                .insert(key.clone(), (self.revision, object.clone()));
            let modified = self.revision;
            let object = Ok(object.clone());
            events.push(ObjectEvent::Put {
                key,
                modified,
                object,
            });
        }
        for key in &change.deletes {
            let key = key.to_string();
            if self.entries.remove(&key).is_some() {
                let revision = self.revision;
                events.push(ObjectEvent::Delete { key, revision });
            }
        }
        self.last.clone_from(&events);
        self.state.apply(events, self.revision);
        true
    }

    fn guards_hold(&self, base: &StoreState, change: &Change) -> bool {
        let modified = |key: &ObjectKey| self.entries.get(&key.to_string()).map(|(at, _)| *at);
        let mut guards = change.guards.iter();
        let holds = |prefix: &str, revision: u64| {
            let mut keys = self.entries.iter();
            keys.all(|(key, (at, _))| !key.starts_with(prefix) || *at <= revision)
        };
        let mut prefixes = change.prefix_guards.iter();
        let known = base.mod_revision_at(&ObjectKey::Marker);
        let not_restored =
            !change.depends_on_marker() || known.is_none() || modified(&ObjectKey::Marker) >= known;
        let marker = change.tolerated_commits.is_none_or(|tolerated| {
            let known = known.unwrap_or_default();
            holds(&ObjectKey::Marker.to_string(), known + tolerated)
        });
        guards.all(|guard| modified(&guard.key) == guard.mod_revision)
            && prefixes.all(|guard| holds(&guard.prefix, guard.revision))
            && marker
            && not_restored
    }

    pub(crate) fn listing(&self) -> Vec<ListedObject> {
        let listed = |(key, (modified, object)): (&String, &(u64, ControlObject))| ListedObject {
            key: key.clone(),
            mod_revision: *modified,
            object: Some(Ok(object.clone())),
        };
        self.entries.iter().map(listed).collect()
    }

    pub(crate) fn modified(&self, key: &ObjectKey) -> u64 {
        self.state.mod_revision_at(key).unwrap()
    }

    /// Writes an object without decide, like a direct write to the store.
    pub(crate) fn force(&mut self, key: &str, object: ControlObject) {
        self.revision += 1;
        self.entries
            .insert(key.to_owned(), (self.revision, object.clone()));
        let event = ObjectEvent::Put {
            key: key.to_owned(),
            modified: self.revision,
            object: Ok(object),
        };
        self.state.apply([event], self.revision);
    }

    pub(crate) fn force_gateway(&mut self, gateway: Gateway) {
        let key = ObjectKey::Gateway(gateway.name.clone()).to_string();
        self.force(&key, ControlObject::Gateway(Arc::new(gateway)));
    }
}
