//! Everything that is in the store, understood: one value, applied to by its single owner and published whole.
//! Applying is idempotent by (key, revision), so that duplicated and replayed events do no harm; what an unreliable
//! watch has lost is found by [`State::relist`]. What cannot be understood is kept aside under its key with the
//! reason, and hurts nothing else.

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

/// Everything in the store at a revision. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Tenants.
    pub organizations: Shelf<Slug, Organization>,
    /// Endpoints.
    pub gateways: Shelf<Name, Gateway>,
    /// MCP servers.
    pub servers: Shelf<Name, Server>,
    /// What we present to servers.
    pub credentials: Shelf<Name, Credential>,
    /// Bearer tokens, live or not.
    pub tokens: Shelf<Name, Token>,
    /// What servers were seen to offer, by server.
    pub catalogues: Shelf<Name, Catalogue>,
    /// Data-plane processes.
    pub proxies: Shelf<Slug, Proxy>,
    /// Who owns which gateway id.
    pub gateway_ids: Shelf<Slug, Slug>,
    /// Sealed keys of the deployment.
    pub system_keys: Shelf<Slug, SealedBlob>,
    /// Leave to join, by hash.
    pub join_tokens: Shelf<Digest, JoinToken>,
    /// Proxies that were expelled, each with when its last certificate has ended.
    pub expelled: Shelf<Slug, Timestamp>,
    /// What request ids have done.
    pub requests: Shelf<Digest, RequestRecord>,
    /// The version log; an entry's version is the revision of its write.
    pub history: Shelf<u64, VersionRecord>,
    /// What could not be understood, by key as it stands in the store.
    pub quarantine: Arc<BTreeMap<String, Quarantined>>,
    marker: Option<(Marker, Revision)>,
    token_hashes: Arc<BTreeMap<TokenHash, Name>>,
    revisions: Arc<BTreeMap<String, Revision>>,
    revision: Revision,
    content: Revision,
}

/// Why something is kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// In words, without any of the content.
    pub reason: String,
    /// Revision of its last write.
    pub modified: Revision,
}

/// One change in the store, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Written.
    Put {
        /// The key as it stands in the store.
        key: String,
        /// Revision of the write.
        modified: Revision,
        /// The object, or why it cannot be understood.
        object: Result<Object, String>,
    },
    /// Deleted.
    Delete {
        /// The key as it stands in the store.
        key: String,
        /// Revision of the deletion.
        revision: Revision,
    },
}

/// One entry of a full listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key as it stands in the store.
    pub key: String,
    /// Revision of its last write.
    pub modified: Revision,
    /// The object, or why it cannot be understood; none if [`State::modified`] of this key is this revision
    /// already, which spares decoding it again.
    pub object: Option<Result<Object, String>>,
}

/// What a full comparison had to repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Writes that had been missed although the watch claimed to be past them.
    pub missed_writes: usize,
    /// Deletions that had been missed, or had not been delivered yet.
    pub missed_deletes: usize,
}

impl State {
    /// The state that a full listing at `revision` shows.
    pub fn from_listing(listing: Vec<Listed>, revision: Revision) -> Self {
        Self::default().relist(listing, revision).0
    }

    /// Applies `events`, in order, after which everything up to `revision` is known. Says how many changed anything.
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

    /// This state made equal to a full listing at `revision`, and what had to be repaired for that.
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
                // Its own revision is one that we have published without it.
                next.content = next.content.max(revision);
            }
            next.put_in(entry.key, entry.modified, object);
        }
        next.revision = revision;
        (next, repairs)
    }

    /// Everything up to here is known.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The version that this state compiles to. It moves with what compile reads and with nothing else: a proxy
    /// that acknowledges a version does not thereby make a new one.
    pub fn version(&self) -> Version {
        Version {
            epoch: self.epoch(),
            revision: self.content,
        }
    }

    /// Whether `other`, which this state was made from or the other way round, surely compiles to the same.
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

    /// The epoch; 0 before the first marker.
    pub fn epoch(&self) -> u64 {
        self.marker.map_or(0, |(marker, _)| marker.epoch)
    }

    /// When the last change was made.
    pub fn written(&self) -> Timestamp {
        self.marker
            .map_or(Timestamp(0), |(marker, _)| marker.written)
    }

    /// Revision of the last write of a key, quarantined or not, as it stands in the store.
    pub fn modified(&self, key: &str) -> Option<Revision> {
        self.revisions.get(key).copied()
    }

    /// Revision of the last write of a key.
    pub fn modified_at(&self, key: &Key) -> Option<Revision> {
        self.modified(&key.to_string())
    }

    /// Why the object at `key` is not to be had, if it is quarantined.
    pub fn quarantined(&self, key: &Key) -> Option<&Quarantined> {
        self.quarantine.get(&key.to_string())
    }

    /// Whether the proxy `id` was expelled, and its last certificate may not have ended at `now`.
    pub fn is_expelled(&self, id: &Slug, now: Timestamp) -> bool {
        self.expelled.get(id).is_some_and(|until| **until > now)
    }

    /// The token with this hash: the admin API's authentication.
    pub fn token_by_hash(&self, hash: &TokenHash) -> Option<&Stored<Token>> {
        self.tokens.get(self.token_hashes.get(hash)?)
    }

    /// The object at `key`, if it is there and understood.
    pub fn object(&self, key: &Key) -> Option<Object> {
        self.find(key)
    }

    /// This state as it would be after `change`, at the next revision: for dry runs.
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

    /// Hashes of tokens that are revoked, or expired by `now`: what the revocation stream carries.
    pub fn dead_tokens(&self, now: Timestamp) -> impl Iterator<Item = &TokenHash> {
        let dead = move |token: &&Stored<Token>| {
            token.revoked.is_some() || token.expires.is_some_and(|at| at <= now)
        };
        let tokens = self.tokens.iter().map(|(_, token)| token);
        tokens.filter(dead).map(|token| &token.object.hash)
    }

    /// Objects of an organization beside itself.
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
