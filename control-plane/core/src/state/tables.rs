//! Insertion of objects into the tables of the state and removal from them, with their effects on the indexes.

use std::sync::Arc;

use toolgate_model::{Token, for_each_kind};

use crate::{
    key::{ObjectKey, ObjectKind, SnapshotRelevance},
    kind::StateKind as _,
    object::ControlObject,
    port::Revision,
};

use super::{QuarantinedObject, StoreState};

impl StoreState {
    /// Applies a write seen by a watch. Outdated writes are ignored: a known key at this revision or a later one,
    /// or an absent key at a revision that is already applied (the key was deleted since and must not reappear).
    pub(super) fn apply_put(
        &mut self,
        key: String,
        modified: Revision,
        object: Result<ControlObject, String>,
    ) -> bool {
        let old_news = match self.mod_revision(&key) {
            Some(known) => known >= modified,
            None => modified <= self.revision,
        };
        if old_news {
            return false;
        }
        self.insert_key(key, modified, object);
        true
    }

    /// Applies a deletion seen by a watch. Ignored if the key was written again since.
    pub(super) fn apply_delete(&mut self, key: &str, revision: Revision) -> bool {
        if self.mod_revision(key).is_none_or(|known| known >= revision) {
            return false;
        }
        self.remove_key(key);
        self.record_change(key);
        if is_compiled(key) {
            self.content_revision = self.content_revision.max(revision);
        }
        true
    }

    pub(super) fn insert_key(
        &mut self,
        key: String,
        modified: Revision,
        object: Result<ControlObject, String>,
    ) {
        let before = key.parse().ok().and_then(|key| self.find(&key));
        self.remove_key(&key);
        self.record_change(&key);
        if is_compiled(&key) {
            self.content_revision = self.content_revision.max(modified);
        }
        self.revisions.insert_mut(key.clone(), modified);
        if let Err(reason) = self.insert_decoded(&key, modified, object) {
            // An object that something else has overwritten keeps its last readable form.
            let last_form = before.map(|before| self.insert_decoded(&key, modified, Ok(before)));
            let quarantined = QuarantinedObject {
                reason,
                mod_revision: modified,
                keeps_last_form: last_form.is_some_and(|kept| kept.is_ok()),
            };
            Arc::make_mut(&mut self.quarantine).insert(key, quarantined);
        }
    }

    fn insert_decoded(
        &mut self,
        text: &str,
        modified: Revision,
        object: Result<ControlObject, String>,
    ) -> Result<(), String> {
        let key: ObjectKey = text
            .parse()
            .map_err(|e: crate::InvalidObjectKey| e.to_string())?;
        let object = self.assembled(object?)?;
        if object.own_key().is_some_and(|own| own != key) {
            return Err("the object at this key says that it is another one".to_owned());
        }
        if !object.fits(&key) {
            let expected = key.kind().map_or("a record of ours", ObjectKind::as_str);
            return Err(format!("the object at this key is not {expected}"));
        }
        if let Some(token) = Token::of_object(&object) {
            if self.token_hashes.contains_key(&token.hash) {
                return Err("another token has the same hash".to_owned());
            }
            self.token_hashes.insert_mut(token.hash, token.name.clone());
        }
        self.indexes.insert(&key, &object);
        self.put(key, object, modified);
        Ok(())
    }

    /// Records a change of `text` in the log, if objects are derived from it.
    pub(super) fn record_change(&mut self, text: &str) {
        let key = text.parse::<ObjectKey>().ok();
        let is_logged =
            |key: &ObjectKey| key.kind().is_some() || matches!(key, ObjectKey::GatewayId(_));
        if let Some(key) = key.filter(is_logged) {
            self.changes.record(key);
        }
    }

    pub(super) fn remove_key(&mut self, text: &str) {
        if !self.revisions.remove_mut(text) {
            return;
        }
        if self.quarantine.contains_key(text) {
            Arc::make_mut(&mut self.quarantine).remove(text);
        }
        let Ok(key) = text.parse::<ObjectKey>() else {
            return;
        };
        if let Some(object) = self.find(&key) {
            if let Some(token) = Token::of_object(&object) {
                self.token_hashes.remove_mut(&token.hash);
            }
            self.indexes.remove(&key, &object);
        }
        self.remove(&key);
    }
}

macro_rules! define_tables {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        impl StoreState {
            pub(super) fn find(&self, key: &ObjectKey) -> Option<ControlObject> {
                Some(match key {
                    $(ObjectKey::$D(id) => ControlObject::$D(self.$dtable.get(id)?.to_arc()),)*
                    $(ObjectKey::$O(id) => ControlObject::$O(self.$otable.get(id)?.to_arc()),)*
                    ObjectKey::Marker => ControlObject::Marker(self.marker?.0),
                    ObjectKey::GatewayId(id) => {
                        ControlObject::GatewayId((*self.gateway_ids.get(id)?.object).clone())
                    }
                    ObjectKey::SystemKey(name) => {
                        ControlObject::SystemKey((*self.system_keys.get(name)?.object).clone())
                    }
                    ObjectKey::JoinToken(hash) => {
                        ControlObject::JoinToken((*self.join_tokens.get(hash)?.object).clone())
                    }
                    ObjectKey::Expelled(id) => {
                        ControlObject::Expelled(*self.expelled.get(id)?.object)
                    }
                    ObjectKey::Request(digest) => {
                        ControlObject::Request((*self.requests.get(digest)?.object).clone())
                    }
                    ObjectKey::DefinitionsPart(server, digest) => {
                        let id = (server.clone(), *digest);
                        ControlObject::DefinitionsPart(self.definitions_parts.get(&id)?.to_arc())
                    }
                    ObjectKey::History(number) => {
                        ControlObject::History((*self.history.get(number)?.object).clone())
                    }
                })
            }

            /// Puts an object at a key that it fits.
            fn put(&mut self, key: ObjectKey, object: ControlObject, modified: Revision) {
                match (key, object) {
                    $((ObjectKey::$D(id), ControlObject::$D(it)) => {
                        self.$dtable.put(id, it, modified);
                    })*
                    $((ObjectKey::$O(id), ControlObject::$O(it)) => {
                        self.$otable.put(id, it, modified);
                    })*
                    (ObjectKey::Marker, ControlObject::Marker(it)) => {
                        self.marker = Some((it, modified));
                    }
                    (ObjectKey::GatewayId(id), ControlObject::GatewayId(claim)) => {
                        self.gateway_ids.put(id, Arc::new(claim), modified);
                    }
                    (ObjectKey::SystemKey(name), ControlObject::SystemKey(it)) => {
                        self.system_keys.put(name, Arc::new(it), modified);
                    }
                    (ObjectKey::JoinToken(hash), ControlObject::JoinToken(it)) => {
                        self.join_tokens.put(hash, Arc::new(it), modified);
                    }
                    (ObjectKey::Expelled(id), ControlObject::Expelled(until)) => {
                        self.expelled.put(id, Arc::new(until), modified);
                    }
                    (ObjectKey::Request(digest), ControlObject::Request(it)) => {
                        self.requests.put(digest, Arc::new(it), modified);
                    }
                    (ObjectKey::DefinitionsPart(server, digest), ControlObject::DefinitionsPart(it)) => {
                        self.definitions_parts.put((server, digest), it, modified);
                    }
                    (ObjectKey::History(number), ControlObject::History(it)) => {
                        self.history.put(number, Arc::new(it), modified);
                    }
                    (_other_key, _) => {}
                }
            }

            fn remove(&mut self, key: &ObjectKey) {
                match key {
                    $(ObjectKey::$D(id) => self.$dtable.remove(id),)*
                    $(ObjectKey::$O(id) => self.$otable.remove(id),)*
                    // Deleting or damaging the marker must not lose the epoch.
                    ObjectKey::Marker => {}
                    ObjectKey::GatewayId(id) => self.gateway_ids.remove(id),
                    ObjectKey::SystemKey(name) => self.system_keys.remove(name),
                    ObjectKey::JoinToken(hash) => self.join_tokens.remove(hash),
                    ObjectKey::Expelled(id) => self.expelled.remove(id),
                    ObjectKey::Request(digest) => self.requests.remove(digest),
                    ObjectKey::DefinitionsPart(server, digest) => {
                        self.definitions_parts.remove(&(server.clone(), *digest));
                    }
                    ObjectKey::History(number) => self.history.remove(number),
                }
            }
        }
    };
}

for_each_kind!(define_tables);

/// Returns `true` if the key is an input of compile, including keys whose writes do not always change the version.
pub(super) fn is_compile_input(key: &str) -> bool {
    key.parse::<ObjectKey>()
        .is_ok_and(|key| key.snapshot_relevance() != SnapshotRelevance::Never)
}

fn is_compiled(key: &str) -> bool {
    key.parse::<ObjectKey>().is_ok_and(|key| key.is_compiled())
}
