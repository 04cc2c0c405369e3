//! Create, update, delete and revoke for the objects that operators write.

use std::sync::Arc;

use toolgate_model::{Meta, Name, Slug, Timestamp, Token};

use crate::{
    change::Change,
    command::Desired,
    key::{Key, Kind},
    limits,
    object::Object,
    port::Revision,
    rejection::Rejection,
    right::Identity,
    state::State,
};

use super::{draft::Draft, field};

pub(super) fn create(mut draft: Draft<'_>, object: &Desired) -> Result<Change, Rejection> {
    let key = object.key();
    if let Some(quarantined) = draft.state.quarantined(&key) {
        let reason = quarantined.reason.clone();
        return Err(Rejection::Quarantined { key, reason });
    }
    if draft.state.modified_at(&key).is_some() {
        return Err(Rejection::AlreadyExists(key));
    }
    field::check(object, draft.now())?;
    room_for(draft.state, &key)?;
    if let Some(org) = parent(&key) {
        let org = Key::Organization(org.clone());
        if draft.state.modified_at(&org).is_none() {
            return Err(Rejection::NotFound(org));
        }
    }
    match object {
        Desired::Gateway(gateway) => claim(&mut draft, &gateway.name)?,
        Desired::Token(token) => only_system_makes_system(&draft, token)?,
        Desired::Organization(_) | Desired::Server(_) | Desired::Credential(_) => {}
    }
    let now = draft.now();
    draft.note(format!("create {}", key.describe()));
    draft.put(key.clone(), stamped(object, None, now));
    Ok(draft.finish(key))
}

pub(super) fn update(
    mut draft: Draft<'_>,
    object: &Desired,
    expected: Revision,
) -> Result<Change, Rejection> {
    let key = object.key();
    present(&draft, &key, Some(expected))?;
    let Some(current) = stored(draft.state, &key) else {
        let quarantined = draft.state.quarantined(&key);
        let reason = quarantined.map(|it| it.reason.clone()).unwrap_or_default();
        return Err(Rejection::Quarantined { key, reason });
    };
    field::check(object, Timestamp(0))?;
    if let Object::Token(token) = &current {
        only_system_changes_system(&draft, token)?;
    }
    let next = stamped(object, Some(&current), draft.now());
    if stamped(object, Some(&current), updated(&current)) == current {
        return Ok(Change::nothing(key));
    }
    draft.note(format!("update {}", key.describe()));
    draft.put(key.clone(), next);
    Ok(draft.finish(key))
}

pub(super) fn delete(
    mut draft: Draft<'_>,
    key: &Key,
    expected: Option<Revision>,
) -> Result<Change, Rejection> {
    if !key.is_desired() {
        let reason = "only what operators write can be deleted".to_owned();
        return Err(Rejection::invalid("name", reason));
    }
    present(&draft, key, expected)?;
    let by = users(draft.state, key);
    if !by.is_empty() {
        let key = key.clone();
        return Err(Rejection::InUse { key, by });
    }
    if let Some(Object::Token(token)) = stored(draft.state, key) {
        only_system_changes_system(&draft, &token)?;
    }
    draft.note(format!("delete {}", key.describe()));
    draft.delete(key.clone());
    match key {
        Key::Server(name) => draft.delete(Key::Catalogue(name.clone())),
        Key::Gateway(name) => {
            let claim = draft.state.gateway_ids.get(&name.id);
            if claim.is_none_or(|owner| *owner.object == name.org) {
                draft.delete(Key::GatewayId(name.id.clone()));
            }
        }
        Key::Organization(_)
        | Key::Credential(_)
        | Key::Token(_)
        | Key::Catalogue(_)
        | Key::Proxy(_)
        | Key::Marker
        | Key::GatewayId(_)
        | Key::SystemKey(_)
        | Key::JoinToken(_)
        | Key::Expelled(_)
        | Key::Request(_)
        | Key::History(_) => {}
    }
    Ok(draft.finish(key.clone()))
}

pub(super) fn revoke(mut draft: Draft<'_>, name: &Name) -> Result<Change, Rejection> {
    let key = Key::Token(name.clone());
    present(&draft, &key, None)?;
    let Some(token) = draft.state.tokens.get(name) else {
        return Err(Rejection::NotFound(key));
    };
    only_system_changes_system(&draft, token)?;
    if token.revoked.is_some() {
        return Ok(Change::nothing(key));
    }
    let mut token = Token::clone(token);
    token.revoked = Some(draft.now());
    token.meta.updated = draft.now();
    draft.note(format!("revoke {}", key.describe()));
    draft.put(key.clone(), Object::Token(Arc::new(token)));
    Ok(draft.finish(key))
}

/// Checks that the object exists, and at the expected revision if one is given.
fn present(draft: &Draft<'_>, key: &Key, expected: Option<Revision>) -> Result<(), Rejection> {
    let Some(current) = draft.state.modified_at(key) else {
        return Err(Rejection::NotFound(key.clone()));
    };
    match expected {
        Some(expected) if expected != current => {
            let key = key.clone();
            Err(Rejection::Stale { key, current })
        }
        Some(_) | None => Ok(()),
    }
}

fn parent(key: &Key) -> Option<&Slug> {
    match key.kind() {
        Some(Kind::Organization) | None => None,
        Some(_) => key.org(),
    }
}

/// Returns the stored object at the key of a desired object.
fn stored(state: &State, key: &Key) -> Option<Object> {
    let state = state.object(key)?;
    key.is_desired().then_some(state)
}

fn room_for(state: &State, key: &Key) -> Result<(), Rejection> {
    let (name, limit, found) = match key.kind() {
        Some(Kind::Organization) => {
            let found = state.organizations.len();
            ("organizations", limits::ORGANIZATIONS, found)
        }
        Some(kind) => {
            let same = |other: &Key| other.kind() == Some(kind);
            let owned = key
                .org()
                .map_or(0, |org| state.owned_by(org).filter(same).count());
            (
                "objects of one kind in an organization",
                limits::OBJECTS_PER_KIND,
                owned,
            )
        }
        None => return Ok(()),
    };
    if found < limit {
        return Ok(());
    }
    let field = "parent".to_owned();
    let found = found + 1;
    Err(Rejection::Limit {
        field,
        name,
        limit,
        found,
    })
}

/// Claims the gateway id. Gateway ids are unique in the deployment because the path of an endpoint contains no
/// organization.
fn claim(draft: &mut Draft<'_>, name: &Name) -> Result<(), Rejection> {
    let claim = Key::GatewayId(name.id.clone());
    let owner = draft.state.gateway_ids.get(&name.id);
    let claimed = match owner {
        Some(owner) => *owner.object != name.org,
        None => draft.state.modified_at(&claim).is_some(),
    };
    let used = draft
        .state
        .gateways
        .iter()
        .any(|(other, _)| other.id == name.id);
    if claimed || used {
        let reason = format!(
            "`{}` is taken; gateway ids are unique in the whole deployment, choose another one",
            name.id
        );
        return Err(Rejection::invalid("gateway_id", reason));
    }
    draft.put(claim, Object::GatewayId(name.org.clone()));
    Ok(())
}

/// Returns the objects that depend on the object at `key`.
fn users(state: &State, key: &Key) -> Vec<Key> {
    match key {
        Key::Organization(org) => {
            let below = format!("/v1/desired/{org}/");
            let own = key.to_string();
            let unreadable = state.quarantine.keys();
            let unreadable = unreadable.filter(|text| text.starts_with(&below) && **text != own);
            let unreadable = unreadable.filter_map(|text| text.parse().ok());
            state.owned_by(org).chain(unreadable).collect()
        }
        Key::Server(name) => {
            let of_org = state
                .gateways
                .iter()
                .filter(|(gateway, _)| gateway.org == name.org);
            let binds = of_org.filter(|(_, gateway)| {
                gateway
                    .bindings
                    .iter()
                    .any(|binding| binding.server == name.id)
            });
            binds
                .map(|(gateway, _)| Key::Gateway(gateway.clone()))
                .collect()
        }
        Key::Credential(name) => {
            let of_org = state
                .servers
                .iter()
                .filter(|(server, _)| server.org == name.org);
            let uses = of_org.filter(|(_, server)| server.credential.as_ref() == Some(&name.id));
            uses.map(|(server, _)| Key::Server(server.clone()))
                .collect()
        }
        Key::Gateway(_)
        | Key::Token(_)
        | Key::Catalogue(_)
        | Key::Proxy(_)
        | Key::Marker
        | Key::GatewayId(_)
        | Key::SystemKey(_)
        | Key::JoinToken(_)
        | Key::Expelled(_)
        | Key::Request(_)
        | Key::History(_) => Vec::new(),
    }
}

fn only_system_makes_system(draft: &Draft<'_>, token: &Token) -> Result<(), Rejection> {
    if draft.state.token_by_hash(&token.hash).is_some() {
        return Err(Rejection::invalid(
            "token",
            "this token exists already; make a new one",
        ));
    }
    only_system_changes_system(draft, token)
}

/// Checks that only the system identity changes the bootstrap token. The token belongs to an organization, but the
/// admins of the organization must not change it.
fn only_system_changes_system(draft: &Draft<'_>, token: &Token) -> Result<(), Rejection> {
    if !token.system || draft.context.author == Identity::System.author() {
        return Ok(());
    }
    let reason = "the deployment's own token can only be changed with itself";
    Err(Rejection::invalid("name", reason))
}

/// Returns `object` in its stored form: with timestamps, and with immutable values taken from `current`.
fn stamped(object: &Desired, current: Option<&Object>, now: Timestamp) -> Object {
    let created = current.and_then(Object::created).unwrap_or(now);
    let stamp = |meta: &mut Meta| {
        meta.created = created;
        meta.updated = now;
    };
    match object.clone() {
        Desired::Organization(mut it) => {
            stamp(&mut it.meta);
            Object::Organization(Arc::new(it))
        }
        Desired::Gateway(mut it) => {
            stamp(&mut it.meta);
            Object::Gateway(Arc::new(it))
        }
        Desired::Server(mut it) => {
            stamp(&mut it.meta);
            Object::Server(Arc::new(it))
        }
        Desired::Credential(mut it) => {
            stamp(&mut it.meta);
            Object::Credential(Arc::new(it))
        }
        Desired::Token(mut it) => {
            stamp(&mut it.meta);
            match current {
                Some(Object::Token(before)) => {
                    it.hash = before.hash;
                    it.hint.clone_from(&before.hint);
                    it.revoked = before.revoked;
                    it.system = before.system;
                }
                Some(_) | None => it.revoked = None,
            }
            Object::Token(Arc::new(it))
        }
    }
}

fn updated(object: &Object) -> Timestamp {
    object.updated().unwrap_or_default()
}
