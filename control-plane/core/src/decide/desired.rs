//! Create, update and delete for all kinds that operators write, and revoke for tokens. The rules of a kind are in
//! [`super::rules`].

use std::sync::Arc;

use toolgate_model::{ObjectName, Timestamp, Token, Uid};

use crate::{
    change::Change, key::ObjectKey, kind::StateKind as _, port::Revision, rejection::Rejection,
    state::StoreState,
};

use super::{
    change_builder::ChangeBuilder,
    field,
    rules::{self, KindRules},
};

pub(super) fn create<K: KindRules>(
    mut draft: ChangeBuilder<'_>,
    object: &K,
) -> Result<Change, Rejection> {
    let key = K::key(object.id().clone());
    if let Some(quarantined) = draft.state.quarantined(&key) {
        let reason = quarantined.reason.clone();
        return Err(Rejection::Quarantined { key, reason });
    }
    if draft.state.mod_revision_at(&key).is_some() {
        return Err(Rejection::AlreadyExists(key));
    }
    field::meta(object.meta())?;
    object.check_fields(draft.now())?;
    check_object_count::<K>(draft.state, &key)?;
    if let Some(org) = rules::parent::<K>(object.id())
        && draft.state.mod_revision_at(&org).is_none()
    {
        return Err(Rejection::NotFound(org));
    }
    let uid = object.new_uid(&draft);
    object.prepare_create(uid, &mut draft)?;
    let (now, object) = (draft.now(), object.resolved(None, draft.state)?);
    draft.add_description(format!("create {}", key.describe()));
    draft.put(
        key.clone(),
        stored_form(&object, None, uid, now).to_object(),
    );
    Ok(draft.finish(key))
}

pub(super) fn update<K: KindRules>(
    mut draft: ChangeBuilder<'_>,
    object: &K,
    expected: Revision,
) -> Result<Change, Rejection> {
    let key = K::key(object.id().clone());
    check_revision(&draft, &key, Some(expected))?;
    let Some(current) = K::table(draft.state).get(object.id()) else {
        let quarantined = draft.state.quarantined(&key);
        let reason = quarantined.map(|it| it.reason.clone()).unwrap_or_default();
        return Err(Rejection::Quarantined { key, reason });
    };
    field::meta(object.meta())?;
    object.check_fields(Timestamp(0))?;
    current.check_change(&draft)?;
    let object = &object.resolved(Some(&current.object), draft.state)?;
    let uid = current.meta().uid;
    let unchanged = stored_form(object, Some(&current.object), uid, current.meta().updated);
    if unchanged == current.object {
        return Ok(Change::empty(key));
    }
    let next = stored_form(object, Some(&current.object), uid, draft.now());
    next.check_update(current, &draft)?;
    draft.add_description(format!("update {}", key.describe()));
    draft.put(key.clone(), next.to_object());
    Ok(draft.finish(key))
}

pub(super) fn delete<K: KindRules>(
    mut draft: ChangeBuilder<'_>,
    id: &K::Id,
    expected: Option<Revision>,
) -> Result<Change, Rejection> {
    let key = K::key(id.clone());
    check_revision(&draft, &key, expected)?;
    let by = K::dependents(draft.state, id);
    if !by.is_empty() {
        return Err(Rejection::InUse { key, by });
    }
    if let Some(current) = K::table(draft.state).get(id) {
        current.check_change(&draft)?;
    }
    draft.add_description(format!("delete {}", key.describe()));
    draft.delete(key.clone());
    K::prepare_delete(&mut draft, id);
    Ok(draft.finish(key))
}

pub(super) fn revoke(mut draft: ChangeBuilder<'_>, name: &ObjectName) -> Result<Change, Rejection> {
    let key = Token::key(name.clone());
    check_revision(&draft, &key, None)?;
    let Some(token) = draft.state.tokens.get(name) else {
        return Err(Rejection::NotFound(key));
    };
    token.check_change(&draft)?;
    if token.revoked.is_some() {
        return Ok(Change::empty(key));
    }
    let mut token = Token::clone(token);
    token.revoked = Some(draft.now());
    token.meta.updated = draft.now();
    draft.add_description(format!("revoke {}", key.describe()));
    draft.put(key.clone(), Arc::new(token).to_object());
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

/// Checks that one more object fits: among those of its organization, or of the deployment for a kind without owners.
fn check_object_count<K: KindRules>(state: &StoreState, key: &ObjectKey) -> Result<(), Rejection> {
    let (name, limit) = K::count_limit();
    let found = match key.object().and_then(|object| object.org) {
        Some(org) => state.count_of(K::KIND, org),
        None => K::table(state).len(),
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

/// Returns `object` in its stored form: with its uid and timestamps, and with immutable values taken from `current`.
fn stored_form<K: KindRules>(
    object: &K,
    current: Option<&Arc<K>>,
    uid: Uid,
    now: Timestamp,
) -> Arc<K> {
    let current = current.map(|current| &**current);
    let mut next = object.clone();
    next.keep_immutable(current);
    let meta = next.meta_mut();
    meta.uid = uid;
    meta.created = current.map_or(now, |current| current.meta().created);
    meta.updated = now;
    Arc::new(next)
}
