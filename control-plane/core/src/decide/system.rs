//! Bookkeeping of the deployment: join tokens, sealed keys and the epoch.

use toolgate_model::{Digest, SealedBlob, Slug, TokenHash};

use crate::{
    change::Change,
    key::ObjectKey,
    limits,
    object::{ControlObject, JoinToken},
    port::Revision,
    rejection::Rejection,
};

use super::{change_builder::ChangeBuilder, field};

pub(super) fn create_join_token(
    mut draft: ChangeBuilder<'_>,
    token: &JoinToken,
) -> Result<Change, Rejection> {
    field::region("region", &token.region)?;
    let now = draft.now();
    if token.expires <= now || token.expires > now.after(limits::JOIN_TOKEN_MAX_TTL) {
        return Err(Rejection::invalid("valid_seconds", "use 1 second to 1 day"));
    }
    let tokens = &draft.state.join_tokens;
    let live = tokens.iter().filter(|(_, token)| token.expires > now);
    let found = live.count();
    if found >= limits::JOIN_TOKENS {
        return Err(Rejection::Limit {
            field: "parent".to_owned(),
            name: "join tokens at a time",
            limit: limits::JOIN_TOKENS,
            found: found + 1,
        });
    }
    let written = tokens.iter().map(|(_, token)| token.mod_revision);
    let latest = written.max().unwrap_or_default();
    let prefix = ObjectKey::join_token_prefix();
    draft.guard_count_of(prefix, latest, found, limits::JOIN_TOKENS);
    let key = ObjectKey::JoinToken(Digest(token.hash.0));
    if draft.state.mod_revision_at(&key).is_some() {
        return Err(Rejection::AlreadyExists(key));
    }
    draft.put(key.clone(), ControlObject::JoinToken(token.clone()));
    Ok(draft.finish(key))
}

pub(super) fn use_join_token(
    mut draft: ChangeBuilder<'_>,
    hash: &TokenHash,
) -> Result<Change, Rejection> {
    let digest = Digest(hash.0);
    let key = ObjectKey::JoinToken(digest);
    let now = draft.now();
    match draft.state.join_tokens.get(&digest) {
        Some(token) if token.expires > now => {
            draft.delete(key.clone());
            Ok(draft.finish(key))
        }
        Some(_) | None => Err(Rejection::NotFound(key)),
    }
}

pub(super) fn create_key(
    mut draft: ChangeBuilder<'_>,
    name: &Slug,
    sealed: &SealedBlob,
) -> Result<Change, Rejection> {
    let key = ObjectKey::SystemKey(name.clone());
    if draft.state.mod_revision_at(&key).is_some() {
        return Err(Rejection::AlreadyExists(key));
    }
    draft.put(key.clone(), ControlObject::SystemKey(sealed.clone()));
    Ok(draft.finish(key))
}

pub(super) fn reseal_key(
    mut draft: ChangeBuilder<'_>,
    name: &Slug,
    sealed: &SealedBlob,
    expected: Revision,
) -> Result<Change, Rejection> {
    let key = ObjectKey::SystemKey(name.clone());
    match draft.state.mod_revision_at(&key) {
        None => Err(Rejection::NotFound(key)),
        Some(current) if current != expected => Err(Rejection::Stale { key, current }),
        Some(_) => {
            draft.put(key.clone(), ControlObject::SystemKey(sealed.clone()));
            Ok(draft.finish(key))
        }
    }
}

pub(super) fn bump_epoch(mut draft: ChangeBuilder<'_>) -> Result<Change, Rejection> {
    let epoch = draft.state.epoch() + 1;
    draft.add_description(format!("start epoch {epoch}"));
    draft.start_epoch(epoch);
    Ok(draft.finish(ObjectKey::Marker))
}
