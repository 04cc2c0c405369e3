//! Decoded content of the store. The state is one value, updated by a single owner and published as a whole.
//!
//! Applying events is idempotent by (key, revision), so duplicated and replayed events have no effect. Events lost
//! by an unreliable watch are detected by [`StoreState::relist`]. Entries that cannot be decoded are quarantined
//! under their key with the reason and affect no other object.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{
    Catalogue, Credential, Digest, Gateway, Name, Organization, Proxy, SealedBlob, Server, Slug,
    Timestamp, Token, TokenHash, Version,
};

use crate::{
    change::Change,
    key::Key,
    object::{JoinToken, Marker, Object, RequestRecord, VersionRecord},
    port::Revision,
    shelf::{Shelf, Stored},
};

mod shelve;
#[cfg(test)]
mod tests;

/// Decoded content of the store at a revision. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Tenants.
    pub organizations: Shelf<Slug, Organization>,
    /// MCP endpoints.
    pub gateways: Shelf<Name, Gateway>,
    /// MCP servers.
    pub servers: Shelf<Name, Server>,
    /// Credentials that proxies present to servers.
    pub credentials: Shelf<Name, Credential>,
    /// Bearer tokens, including revoked and expired ones.
    pub tokens: Shelf<Name, Token>,
    /// Definitions that servers offer, by server.
    pub catalogues: Shelf<Name, Catalogue>,
    /// Data-plane processes.
    pub proxies: Shelf<Slug, Proxy>,
    /// Owning organization of each gateway id.
    pub gateway_ids: Shelf<Slug, Slug>,
    /// Sealed deployment keys.
    pub system_keys: Shelf<Slug, SealedBlob>,
    /// Join tokens, by hash.
    pub join_tokens: Shelf<Digest, JoinToken>,
    /// Expelled proxies, with the expiry of their last certificate.
    pub expelled: Shelf<Slug, Timestamp>,
    /// Results of request ids.
    pub requests: Shelf<Digest, RequestRecord>,
    /// Version log. The version of an entry is the revision of its write.
    pub history: Shelf<u64, VersionRecord>,
    /// Entries that cannot be decoded, by raw key.
    pub quarantine: Arc<BTreeMap<String, Quarantined>>,
    marker: Option<(Marker, Revision)>,
    token_hashes: Arc<BTreeMap<TokenHash, Name>>,
    revisions: Arc<BTreeMap<String, Revision>>,
    revision: Revision,
    content: Revision,
}

/// Store entry that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Description of the error, without any of the content.
    pub reason: String,
    /// Revision of the last write.
    pub modified: Revision,
}

/// Decoded change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put {
        /// Raw key in the store.
        key: String,
        /// Revision of the write.
        modified: Revision,
        /// Decoded object, or the decoding error.
        object: Result<Object, String>,
    },
    /// The key was deleted.
    Delete {
        /// Raw key in the store.
        key: String,
        /// Revision of the deletion.
        revision: Revision,
    },
}

/// Entry of a full listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Raw key in the store.
    pub key: String,
    /// Revision of the last write.
    pub modified: Revision,
    /// Decoded object, or the decoding error; `None` if [`StoreState::mod_revision`] of the key equals the
    /// revision, in which case the entry is not decoded again.
    pub object: Option<Result<Object, String>>,
}

/// Differences found by a full comparison with the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Writes that the watch missed although it reported a later revision.
    pub missed_writes: usize,
    /// Deletions that the watch missed or had not delivered yet.
    pub missed_deletes: usize,
}

impl State {
    /// Creates the state from a full listing at `revision`.
    pub fn from_listing(listing: Vec<Listed>, revision: Revision) -> Self {
        Self::default().relist(listing, revision).0
    }

    /// Applies `events` in order and advances to `revision`. Returns the number of events that changed the state.
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>, revision: Revision) -> usize {
        let mut changed = 0;
        for event in events {
            changed += usize::from(match event {
                Event::Put {
                    key,
                    modified,
                    object,
                } => self.apply_put(key, modified, object),
                Event::Delete { key, revision } => self.apply_delete(&key, revision),
            });
        }
        self.revision = self.revision.max(revision);
        changed
    }

    /// Returns this state updated to a full listing at `revision`, and the differences found.
    #[must_use]
    pub fn relist(&self, listing: Vec<Listed>, revision: Revision) -> (Self, Repairs) {
        let mut next = self.clone();
        let mut repairs = Repairs::default();
        let listed: std::collections::BTreeSet<&str> =
            listing.iter().map(|entry| entry.key.as_str()).collect();
        let gone = |key: &&String| !listed.contains(key.as_str());
        let gone: Vec<String> = self.revisions.keys().filter(gone).cloned().collect();
        for key in gone {
            repairs.missed_deletes += 1;
            next.take_out(&key);
            if shelve::is_read(&key) {
                next.content = next.content.max(revision);
            }
        }
        for entry in listing {
            if self.modified(&entry.key) == Some(entry.modified) {
                continue;
            }
            let Some(object) = entry.object else { continue };
            let missed = entry.modified <= self.revision;
            repairs.missed_writes += usize::from(missed);
            if missed && shelve::is_read(&entry.key) {
                // The revision of the entry was already published without the entry.
                next.content = next.content.max(revision);
            }
            next.put_in(entry.key, entry.modified, object);
        }
        next.revision = revision;
        (next, repairs)
    }

    /// Returns the revision up to which all changes are applied.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the version of the compiled snapshot. Only changes of compile inputs advance it: a proxy that
    /// acknowledges a version does not create a new one.
    pub fn version(&self) -> Version {
        Version {
            epoch: self.epoch(),
            revision: self.content,
        }
    }

    /// Returns `true` if `self` and `other` certainly compile to the same snapshot. One of them must be derived
    /// from the other.
    pub fn compiles_like(&self, other: &Self) -> bool {
        self.marker == other.marker
            && self.content == other.content
            && self.organizations.is(&other.organizations)
            && self.gateways.is(&other.gateways)
            && self.servers.is(&other.servers)
            && self.credentials.is(&other.credentials)
            && self.tokens.is(&other.tokens)
            && self.catalogues.is(&other.catalogues)
            && self.gateway_ids.is(&other.gateway_ids)
    }

    /// Returns the epoch; 0 before the first marker.
    pub fn epoch(&self) -> u64 {
        self.marker.map_or(0, |(marker, _)| marker.epoch)
    }

    /// Returns the time of the last change.
    pub fn written(&self) -> Timestamp {
        self.marker
            .map_or(Timestamp(0), |(marker, _)| marker.written)
    }

    /// Returns the revision of the last write of a raw key, quarantined or not.
    pub fn modified(&self, key: &str) -> Option<Revision> {
        self.revisions.get(key).copied()
    }

    /// Returns the revision of the last write of a key.
    pub fn modified_at(&self, key: &Key) -> Option<Revision> {
        self.modified(&key.to_string())
    }

    /// Returns the quarantine entry of `key`, if it is quarantined.
    pub fn quarantined(&self, key: &Key) -> Option<&Quarantined> {
        self.quarantine.get(&key.to_string())
    }

    /// Returns `true` if the proxy `id` was expelled and its last certificate may still be valid at `now`.
    pub fn is_expelled(&self, id: &Slug, now: Timestamp) -> bool {
        self.expelled.get(id).is_some_and(|until| **until > now)
    }

    /// Returns the token with this hash. The admin API authenticates with it.
    pub fn token_by_hash(&self, hash: &TokenHash) -> Option<&Stored<Token>> {
        self.tokens.get(self.token_hashes.get(hash)?)
    }

    /// Returns the object at `key`, if it exists and is not quarantined.
    pub fn object(&self, key: &Key) -> Option<Object> {
        self.find(key)
    }

    /// Returns this state after `change`, at the next revision, for dry runs.
    #[must_use]
    pub fn changed_by(&self, change: &Change) -> Self {
        let revision = self.revision + 1;
        let put = |(key, object): &(Key, Object)| Event::Put {
            key: key.to_string(),
            modified: revision,
            object: Ok(object.clone()),
        };
        let delete = |key: &Key| Event::Delete {
            key: key.to_string(),
            revision,
        };
        let events = change
            .puts
            .iter()
            .map(put)
            .chain(change.deletes.iter().map(delete));
        let mut next = self.clone();
        next.apply(events, revision);
        next
    }

    /// Returns the hashes of tokens that are revoked, or expired at `now`, for the revocation stream.
    pub fn dead_tokens(&self, now: Timestamp) -> impl Iterator<Item = &TokenHash> {
        let dead = move |token: &&Stored<Token>| {
            token.revoked.is_some() || token.expires.is_some_and(|at| at <= now)
        };
        let tokens = self.tokens.iter().map(|(_, token)| token);
        tokens.filter(dead).map(|token| &token.object.hash)
    }

    /// Returns the keys of the objects owned by an organization, without the organization itself.
    pub fn owned_by<'a>(&'a self, org: &'a Slug) -> impl Iterator<Item = Key> + 'a {
        let of = move |name: &&Name| name.org == *org;
        let gateways = self.gateways.iter().map(|(name, _)| name).filter(of);
        let servers = self.servers.iter().map(|(name, _)| name).filter(of);
        let credentials = self.credentials.iter().map(|(name, _)| name).filter(of);
        let tokens = self.tokens.iter().map(|(name, _)| name).filter(of);
        (gateways.map(|name| Key::Gateway(name.clone())))
            .chain(servers.map(|name| Key::Server(name.clone())))
            .chain(credentials.map(|name| Key::Credential(name.clone())))
            .chain(tokens.map(|name| Key::Token(name.clone())))
    }
}
