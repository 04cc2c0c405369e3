//! Insertion of objects into the tables of the state and removal from them, with their effects on the indexes.

use std::sync::Arc;

use crate::{
    key::{Key, Kind},
    object::Object,
    port::Revision,
};

use super::{Quarantined, State};

impl State {
    /// Applies a write seen by a watch. Outdated writes are ignored: a known key at this revision or a later one,
    /// or an absent key at a revision that is already applied (the key was deleted since and must not reappear).
    pub(super) fn apply_put(
        &mut self,
        key: String,
        modified: Revision,
        object: Result<Object, String>,
    ) -> bool {
        let old_news = match self.modified(&key) {
            Some(known) => known >= modified,
            None => modified <= self.revision,
        };
        if old_news {
            return false;
        }
        self.put_in(key, modified, object);
        true
    }

    /// Applies a deletion seen by a watch. Ignored if the key was written again since.
    pub(super) fn apply_delete(&mut self, key: &str, revision: Revision) -> bool {
        if self.modified(key).is_none_or(|known| known >= revision) {
            return false;
        }
        self.take_out(key);
        if is_compiled(key) {
            self.content = self.content.max(revision);
        }
        true
    }

    pub(super) fn put_in(
        &mut self,
        key: String,
        modified: Revision,
        object: Result<Object, String>,
    ) {
        self.take_out(&key);
        if is_compiled(&key) {
            self.content = self.content.max(modified);
        }
        Arc::make_mut(&mut self.revisions).insert(key.clone(), modified);
        if let Err(reason) = self.shelve(&key, modified, object) {
            let quarantined = Quarantined { reason, modified };
            Arc::make_mut(&mut self.quarantine).insert(key, quarantined);
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Object> {
        Some(match key {
            Key::Organization(id) => Object::Organization(self.organizations.get(id)?.share()),
            Key::Gateway(name) => Object::Gateway(self.gateways.get(name)?.share()),
            Key::Server(name) => Object::Server(self.servers.get(name)?.share()),
            Key::Credential(name) => Object::Credential(self.credentials.get(name)?.share()),
            Key::Token(name) => Object::Token(self.tokens.get(name)?.share()),
            Key::Catalogue(name) => Object::Catalogue(self.catalogues.get(name)?.share()),
            Key::Proxy(id) => Object::Proxy(self.proxies.get(id)?.share()),
            Key::Marker => Object::Marker(self.marker?.0),
            Key::GatewayId(id) => Object::GatewayId((*self.gateway_ids.get(id)?.object).clone()),
            Key::SystemKey(name) => {
                Object::SystemKey((*self.system_keys.get(name)?.object).clone())
            }
            Key::JoinToken(hash) => {
                Object::JoinToken((*self.join_tokens.get(hash)?.object).clone())
            }
            Key::Expelled(id) => Object::Expelled(*self.expelled.get(id)?.object),
            Key::Request(digest) => Object::Request((*self.requests.get(digest)?.object).clone()),
            Key::History(number) => Object::History((*self.history.get(number)?.object).clone()),
        })
    }

    fn shelve(
        &mut self,
        text: &str,
        modified: Revision,
        object: Result<Object, String>,
    ) -> Result<(), String> {
        let key: Key = text.parse().map_err(|e: crate::InvalidKey| e.to_string())?;
        let object = object?;
        if object.own_key().is_some_and(|own| own != key) {
            return Err("the object at this key says that it is another one".to_owned());
        }
        match (key, object) {
            (Key::Organization(id), Object::Organization(it)) => {
                self.organizations.put(id, it, modified);
            }
            (Key::Gateway(name), Object::Gateway(it)) => self.gateways.put(name, it, modified),
            (Key::Server(name), Object::Server(it)) => self.servers.put(name, it, modified),
            (Key::Credential(name), Object::Credential(it)) => {
                self.credentials.put(name, it, modified);
            }
            (Key::Token(name), Object::Token(it)) => {
                if self.token_hashes.contains_key(&it.hash) {
                    return Err("another token has the same hash".to_owned());
                }
                Arc::make_mut(&mut self.token_hashes).insert(it.hash, name.clone());
                self.tokens.put(name, it, modified);
            }
            (Key::Catalogue(name), Object::Catalogue(it)) => {
                self.catalogues.put(name, it, modified);
            }
            (Key::Proxy(id), Object::Proxy(it)) => self.proxies.put(id, it, modified),
            (Key::Marker, Object::Marker(it)) => self.marker = Some((it, modified)),
            (Key::GatewayId(id), Object::GatewayId(org)) => {
                self.gateway_ids.put(id, Arc::new(org), modified);
            }
            (Key::SystemKey(name), Object::SystemKey(it)) => {
                self.system_keys.put(name, Arc::new(it), modified);
            }
            (Key::JoinToken(hash), Object::JoinToken(it)) => {
                self.join_tokens.put(hash, Arc::new(it), modified);
            }
            (Key::Expelled(id), Object::Expelled(until)) => {
                self.expelled.put(id, Arc::new(until), modified);
            }
            (Key::Request(digest), Object::Request(it)) => {
                self.requests.put(digest, Arc::new(it), modified);
            }
            (Key::History(number), Object::History(it)) => {
                self.history.put(number, Arc::new(it), modified);
            }
            (key, _) => {
                let expected = key.kind().map_or("a record of ours", Kind::as_str);
                return Err(format!("the object at this key is not {expected}"));
            }
        }
        Ok(())
    }

    pub(super) fn take_out(&mut self, text: &str) {
        if !self.revisions.contains_key(text) {
            return;
        }
        Arc::make_mut(&mut self.revisions).remove(text);
        if self.quarantine.contains_key(text) {
            Arc::make_mut(&mut self.quarantine).remove(text);
        }
        let Ok(key) = text.parse::<Key>() else { return };
        match key {
            Key::Organization(id) => drop(self.organizations.remove(&id)),
            Key::Gateway(name) => drop(self.gateways.remove(&name)),
            Key::Server(name) => drop(self.servers.remove(&name)),
            Key::Credential(name) => drop(self.credentials.remove(&name)),
            Key::Token(name) => {
                if let Some(token) = self.tokens.remove(&name) {
                    Arc::make_mut(&mut self.token_hashes).remove(&token.hash);
                }
            }
            Key::Catalogue(name) => drop(self.catalogues.remove(&name)),
            Key::Proxy(id) => drop(self.proxies.remove(&id)),
            // Deleting or damaging the marker must not lose the epoch.
            Key::Marker => {}
            Key::GatewayId(id) => drop(self.gateway_ids.remove(&id)),
            Key::SystemKey(name) => drop(self.system_keys.remove(&name)),
            Key::JoinToken(hash) => drop(self.join_tokens.remove(&hash)),
            Key::Expelled(id) => drop(self.expelled.remove(&id)),
            Key::Request(digest) => drop(self.requests.remove(&digest)),
            Key::History(number) => drop(self.history.remove(&number)),
        }
    }
}

/// Returns `true` if the key is an input of compile, including keys whose writes do not always change the version.
pub(super) fn is_read(key: &str) -> bool {
    key.parse::<Key>()
        .is_ok_and(|key| key.is_compiled() || matches!(key, Key::Catalogue(_)))
}

fn is_compiled(key: &str) -> bool {
    key.parse::<Key>().is_ok_and(|key| key.is_compiled())
}
