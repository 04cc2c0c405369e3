//! Create, update, delete and revoke for the objects that operators write.

use std::sync::Arc;

use toolgate_model::{ObjectMeta, ObjectName, Slug, Timestamp, Token};

use crate::{
    access_right::CallerIdentity,
    change::Change,
    command::Desired,
    key::{ObjectKey, ObjectKind},
    limits,
    object::ControlObject,
    port::Revision,
    rejection::Rejection,
    state::StoreState,
};

use super::{change_builder::ChangeBuilder, field};

pub(super) fn create(mut draft: ChangeBuilder<'_>, object: &Desired) -> Result<Change, Rejection> {
    let key = object.key();
    if let Some(quarantined) = draft.state.quarantined(&key) {
        let reason = quarantined.reason.clone();
        return Err(Rejection::Quarantined { key, reason });
    }
    if draft.state.mod_revision_at(&key).is_some() {
        return Err(Rejection::AlreadyExists(key));
    }
    field::check(object, draft.now())?;
    check_object_count(draft.state, &key)?;
    if let Some(org) = parent(&key) {
        let org = ObjectKey::Organization(org.clone());
        if draft.state.mod_revision_at(&org).is_none() {
            return Err(Rejection::NotFound(org));
        }
    }
    match object {
        Desired::Gateway(gateway) => claim_gateway_id(&mut draft, &gateway.name)?,
        Desired::Token(token) => check_new_token(&draft, token)?,
        Desired::Organization(_) | Desired::Server(_) | Desired::Credential(_) => {}
    }
    let now = draft.now();
    draft.add_description(format!("create {}", key.describe()));
    draft.put(key.clone(), with_timestamps(object, None, now));
    Ok(draft.finish(key))
}

pub(super) fn update(
    mut draft: ChangeBuilder<'_>,
    object: &Desired,
    expected: Revision,
) -> Result<Change, Rejection> {
    let key = object.key();
    check_revision(&draft, &key, Some(expected))?;
    let Some(current) = stored_object(draft.state, &key) else {
        let quarantined = draft.state.quarantined(&key);
        let reason = quarantined.map(|it| it.reason.clone()).unwrap_or_default();
        return Err(Rejection::Quarantined { key, reason });
    };
    field::check(object, Timestamp(0))?;
    if let ControlObject::Token(token) = &current {
        check_system_token(&draft, token)?;
    }
    let next = with_timestamps(object, Some(&current), draft.now());
    if with_timestamps(object, Some(&current), updated(&current)) == current {
        return Ok(Change::empty(key));
    }
    draft.add_description(format!("update {}", key.describe()));
    draft.put(key.clone(), next);
    Ok(draft.finish(key))
}

pub(super) fn delete(
    mut draft: ChangeBuilder<'_>,
    key: &ObjectKey,
    expected: Option<Revision>,
) -> Result<Change, Rejection> {
    if !key.is_desired() {
        let reason = "only what operators write can be deleted".to_owned();
        return Err(Rejection::invalid("name", reason));
    }
    check_revision(&draft, key, expected)?;
    let by = dependents(draft.state, key);
    if !by.is_empty() {
        let key = key.clone();
        return Err(Rejection::InUse { key, by });
    }
    if let Some(ControlObject::Token(token)) = stored_object(draft.state, key) {
        check_system_token(&draft, &token)?;
    }
    draft.add_description(format!("delete {}", key.describe()));
    draft.delete(key.clone());
    match key {
        ObjectKey::Server(name) => draft.delete(ObjectKey::Definitions(name.clone())),
        ObjectKey::Gateway(name) => {
            let claim = draft.state.gateway_ids.get(&name.id);
            if claim.is_none_or(|owner| *owner.object == name.org) {
                draft.delete(ObjectKey::GatewayId(name.id.clone()));
            }
        }
        ObjectKey::Organization(_)
        | ObjectKey::Credential(_)
        | ObjectKey::Token(_)
        | ObjectKey::Definitions(_)
        | ObjectKey::Proxy(_)
        | ObjectKey::Marker
        | ObjectKey::GatewayId(_)
        | ObjectKey::SystemKey(_)
        | ObjectKey::JoinToken(_)
        | ObjectKey::Expelled(_)
        | ObjectKey::Request(_)
        | ObjectKey::History(_) => {}
    }
    Ok(draft.finish(key.clone()))
}

pub(super) fn revoke(mut draft: ChangeBuilder<'_>, name: &ObjectName) -> Result<Change, Rejection> {
    let key = ObjectKey::Token(name.clone());
    check_revision(&draft, &key, None)?;
    let Some(token) = draft.state.tokens.get(name) else {
        return Err(Rejection::NotFound(key));
    };
    check_system_token(&draft, token)?;
    if token.revoked.is_some() {
        return Ok(Change::empty(key));
    }
    let mut token = Token::clone(token);
    token.revoked = Some(draft.now());
    token.meta.updated = draft.now();
    draft.add_description(format!("revoke {}", key.describe()));
    draft.put(key.clone(), ControlObject::Token(Arc::new(token)));
    Ok(draft.finish(key))
}

/// Checks that the object exists, and at the expected revision if one is given.
fn check_revision(
    draft: &ChangeBuilder<'_>,
    key: &ObjectKey,
    expected: Option<Revision>,
) -> Result<(), Rejection> {
    let Some(current) = draft.state.mod_revision_at(key) else {
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

fn parent(key: &ObjectKey) -> Option<&Slug> {
    match key.kind() {
        Some(ObjectKind::Organization) | None => None,
        Some(_) => key.org(),
    }
}

/// Returns the stored object at the key of a desired object.
fn stored_object(state: &StoreState, key: &ObjectKey) -> Option<ControlObject> {
    let state = state.object(key)?;
    key.is_desired().then_some(state)
}

fn check_object_count(state: &StoreState, key: &ObjectKey) -> Result<(), Rejection> {
    let (name, limit, found) = match key.kind() {
        Some(ObjectKind::Organization) => {
            let found = state.organizations.len();
            ("organizations", limits::ORGANIZATIONS, found)
        }
        Some(kind) => {
            let same = |other: &ObjectKey| other.kind() == Some(kind);
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
fn claim_gateway_id(draft: &mut ChangeBuilder<'_>, name: &ObjectName) -> Result<(), Rejection> {
    let claim = ObjectKey::GatewayId(name.id.clone());
    let owner = draft.state.gateway_ids.get(&name.id);
    let claimed = match owner {
        Some(owner) => *owner.object != name.org,
        None => draft.state.mod_revision_at(&claim).is_some(),
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
    draft.put(claim, ControlObject::GatewayId(name.org.clone()));
    Ok(())
}

/// Returns the objects that depend on the object at `key`.
fn dependents(state: &StoreState, key: &ObjectKey) -> Vec<ObjectKey> {
    match key {
        ObjectKey::Organization(org) => {
            let below = format!("/v1/desired/{org}/");
            let own = key.to_string();
            let unreadable = state.quarantine.keys();
            let unreadable = unreadable.filter(|text| text.starts_with(&below) && **text != own);
            let unreadable = unreadable.filter_map(|text| text.parse().ok());
            state.owned_by(org).chain(unreadable).collect()
        }
        ObjectKey::Server(name) => {
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
                .map(|(gateway, _)| ObjectKey::Gateway(gateway.clone()))
                .collect()
        }
        ObjectKey::Credential(name) => {
            let of_org = state
                .servers
                .iter()
                .filter(|(server, _)| server.org == name.org);
            let uses = of_org.filter(|(_, server)| server.credential.as_ref() == Some(&name.id));
            uses.map(|(server, _)| ObjectKey::Server(server.clone()))
                .collect()
        }
        ObjectKey::Gateway(_)
        | ObjectKey::Token(_)
        | ObjectKey::Definitions(_)
        | ObjectKey::Proxy(_)
        | ObjectKey::Marker
        | ObjectKey::GatewayId(_)
        | ObjectKey::SystemKey(_)
        | ObjectKey::JoinToken(_)
        | ObjectKey::Expelled(_)
        | ObjectKey::Request(_)
        | ObjectKey::History(_) => Vec::new(),
    }
}

fn check_new_token(draft: &ChangeBuilder<'_>, token: &Token) -> Result<(), Rejection> {
    if draft.state.token_by_hash(&token.hash).is_some() {
        return Err(Rejection::invalid(
            "token",
            "this token exists already; make a new one",
        ));
    }
    check_system_token(draft, token)
}

/// Checks that only the system identity changes the bootstrap token. The token belongs to an organization, but the
/// admins of the organization must not change it.
fn check_system_token(draft: &ChangeBuilder<'_>, token: &Token) -> Result<(), Rejection> {
    if !token.system || draft.context.author == CallerIdentity::System.author() {
        return Ok(());
    }
    let reason = "the deployment's own token can only be changed with itself";
    Err(Rejection::invalid("name", reason))
}

/// Returns `object` in its stored form: with timestamps, and with immutable values taken from `current`.
fn with_timestamps(
    object: &Desired,
    current: Option<&ControlObject>,
    now: Timestamp,
) -> ControlObject {
    let created = current.and_then(ControlObject::created).unwrap_or(now);
    let stamp = |meta: &mut ObjectMeta| {
        meta.created = created;
        meta.updated = now;
    };
    match object.clone() {
        Desired::Organization(mut it) => {
            stamp(&mut it.meta);
            ControlObject::Organization(Arc::new(it))
        }
        Desired::Gateway(mut it) => {
            stamp(&mut it.meta);
            ControlObject::Gateway(Arc::new(it))
        }
        Desired::Server(mut it) => {
            stamp(&mut it.meta);
            ControlObject::Server(Arc::new(it))
        }
        Desired::Credential(mut it) => {
            stamp(&mut it.meta);
            ControlObject::Credential(Arc::new(it))
        }
        Desired::Token(mut it) => {
            stamp(&mut it.meta);
            match current {
                Some(ControlObject::Token(before)) => {
                    it.hash = before.hash;
                    it.hint.clone_from(&before.hint);
                    it.revoked = before.revoked;
                    it.system = before.system;
                }
                Some(_) | None => it.revoked = None,
            }
            ControlObject::Token(Arc::new(it))
        }
    }
}

fn updated(object: &ControlObject) -> Timestamp {
    object.updated().unwrap_or_default()
}
