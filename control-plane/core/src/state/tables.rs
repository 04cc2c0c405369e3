//! Insertion of objects into the tables of the state and removal from them, with their effects on the indexes.

use std::sync::Arc;

use crate::{
    key::{ObjectKey, ObjectKind},
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
        self.remove_key(&key);
        if is_compiled(&key) {
            self.content_revision = self.content_revision.max(modified);
        }
        Arc::make_mut(&mut self.revisions).insert(key.clone(), modified);
        if let Err(reason) = self.insert_decoded(&key, modified, object) {
            let quarantined = QuarantinedObject {
                reason,
                mod_revision: modified,
            };
            Arc::make_mut(&mut self.quarantine).insert(key, quarantined);
        }
    }

    pub(super) fn find(&self, key: &ObjectKey) -> Option<ControlObject> {
        Some(match key {
            ObjectKey::Organization(id) => {
                ControlObject::Organization(self.organizations.get(id)?.to_arc())
            }
            ObjectKey::Gateway(name) => ControlObject::Gateway(self.gateways.get(name)?.to_arc()),
            ObjectKey::Server(name) => ControlObject::Server(self.servers.get(name)?.to_arc()),
            ObjectKey::Credential(name) => {
                ControlObject::Credential(self.credentials.get(name)?.to_arc())
            }
            ObjectKey::Token(name) => ControlObject::Token(self.tokens.get(name)?.to_arc()),
            ObjectKey::Definitions(name) => {
                ControlObject::Definitions(self.definitions.get(name)?.to_arc())
            }
            ObjectKey::Proxy(id) => ControlObject::Proxy(self.proxies.get(id)?.to_arc()),
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
            ObjectKey::Expelled(id) => ControlObject::Expelled(*self.expelled.get(id)?.object),
            ObjectKey::Request(digest) => {
                ControlObject::Request((*self.requests.get(digest)?.object).clone())
            }
            ObjectKey::History(number) => {
                ControlObject::History((*self.history.get(number)?.object).clone())
            }
        })
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
        let object = object?;
        if object.own_key().is_some_and(|own| own != key) {
            return Err("the object at this key says that it is another one".to_owned());
        }
        match (key, object) {
            (ObjectKey::Organization(id), ControlObject::Organization(it)) => {
                self.organizations.put(id, it, modified);
            }
            (ObjectKey::Gateway(name), ControlObject::Gateway(it)) => {
                self.gateways.put(name, it, modified)
            }
            (ObjectKey::Server(name), ControlObject::Server(it)) => {
                self.servers.put(name, it, modified)
            }
            (ObjectKey::Credential(name), ControlObject::Credential(it)) => {
                self.credentials.put(name, it, modified);
            }
            (ObjectKey::Token(name), ControlObject::Token(it)) => {
                if self.token_hashes.contains_key(&it.hash) {
                    return Err("another token has the same hash".to_owned());
                }
                Arc::make_mut(&mut self.token_hashes).insert(it.hash, name.clone());
                self.tokens.put(name, it, modified);
            }
            (ObjectKey::Definitions(name), ControlObject::Definitions(it)) => {
                self.definitions.put(name, it, modified);
            }
            (ObjectKey::Proxy(id), ControlObject::Proxy(it)) => self.proxies.put(id, it, modified),
            (ObjectKey::Marker, ControlObject::Marker(it)) => self.marker = Some((it, modified)),
            (ObjectKey::GatewayId(id), ControlObject::GatewayId(org)) => {
                self.gateway_ids.put(id, Arc::new(org), modified);
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
            (ObjectKey::History(number), ControlObject::History(it)) => {
                self.history.put(number, Arc::new(it), modified);
            }
            (key, _) => {
                let expected = key.kind().map_or("a record of ours", ObjectKind::as_str);
                return Err(format!("the object at this key is not {expected}"));
            }
        }
        Ok(())
    }

    pub(super) fn remove_key(&mut self, text: &str) {
        if !self.revisions.contains_key(text) {
            return;
        }
        Arc::make_mut(&mut self.revisions).remove(text);
        if self.quarantine.contains_key(text) {
            Arc::make_mut(&mut self.quarantine).remove(text);
        }
        let Ok(key) = text.parse::<ObjectKey>() else {
            return;
        };
        match key {
            ObjectKey::Organization(id) => drop(self.organizations.remove(&id)),
            ObjectKey::Gateway(name) => drop(self.gateways.remove(&name)),
            ObjectKey::Server(name) => drop(self.servers.remove(&name)),
            ObjectKey::Credential(name) => drop(self.credentials.remove(&name)),
            ObjectKey::Token(name) => {
                if let Some(token) = self.tokens.remove(&name) {
                    Arc::make_mut(&mut self.token_hashes).remove(&token.hash);
                }
            }
            ObjectKey::Definitions(name) => drop(self.definitions.remove(&name)),
            ObjectKey::Proxy(id) => drop(self.proxies.remove(&id)),
            // Deleting or damaging the marker must not lose the epoch.
            ObjectKey::Marker => {}
            ObjectKey::GatewayId(id) => drop(self.gateway_ids.remove(&id)),
            ObjectKey::SystemKey(name) => drop(self.system_keys.remove(&name)),
            ObjectKey::JoinToken(hash) => drop(self.join_tokens.remove(&hash)),
            ObjectKey::Expelled(id) => drop(self.expelled.remove(&id)),
            ObjectKey::Request(digest) => drop(self.requests.remove(&digest)),
            ObjectKey::History(number) => drop(self.history.remove(&number)),
        }
    }
}

/// Returns `true` if the key is an input of compile, including keys whose writes do not always change the version.
pub(super) fn is_compile_input(key: &str) -> bool {
    key.parse::<ObjectKey>()
        .is_ok_and(|key| key.is_compiled() || matches!(key, ObjectKey::Definitions(_)))
}

fn is_compiled(key: &str) -> bool {
    key.parse::<ObjectKey>().is_ok_and(|key| key.is_compiled())
}
