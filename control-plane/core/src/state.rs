//! Decoded content of the store. The state is one value, updated by a single owner and published as a whole.
//!
//! Applying events is idempotent by (key, revision), so duplicated and replayed events have no effect. Events lost
//! by an unreliable watch are detected by [`StoreState::relist`]. Entries that cannot be decoded are quarantined
//! under their key with the reason and affect no other object.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rpds::RedBlackTreeMapSync;
use toolgate_model::{
    ChangeLog, DefinitionsPart, Digest, Gateway, GatewayClaim, KindObject as _, ObjectName,
    SealedBlob, Slug, Timestamp, Token, TokenHash, Version, for_each_kind,
};

use crate::{
    change::Change,
    key::{ObjectKey, ObjectKind, SnapshotRelevance},
    kind::StateKind as _,
    object::{ControlObject, JoinToken, RequestRecord, VersionMarker, VersionRecord},
    object_table::{ObjectTable, VersionedObject},
    port::Revision,
};

mod indexes;
mod tables;
#[cfg(test)]
mod tests;
mod token_validity;

use indexes::StateIndexes;

macro_rules! define_state {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        /// Decoded content of the store at a revision. Cheap to clone.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct StoreState {
            $($(#[$ddoc])* pub $dtable: ObjectTable<$DId, $DObject>,)*
            $($(#[$odoc])* pub $otable: ObjectTable<$OId, $OObject>,)*
            /// Claims of gateway ids.
            pub gateway_ids: ObjectTable<Slug, GatewayClaim>,
            /// Sealed deployment keys.
            pub system_keys: ObjectTable<Slug, SealedBlob>,
            /// Join tokens, by hash.
            pub join_tokens: ObjectTable<Digest, JoinToken>,
            /// Expelled proxies, with the expiry of their last certificate.
            pub expelled: ObjectTable<Slug, Timestamp>,
            /// Results of request ids.
            pub requests: ObjectTable<Digest, RequestRecord>,
            /// Parts of the definitions of servers, by server and digest.
            pub definitions_parts: ObjectTable<(ObjectName, Digest), DefinitionsPart>,
            /// Version log. The version of an entry is the revision of its write.
            pub history: ObjectTable<u64, VersionRecord>,
            /// Entries that cannot be decoded, by raw key.
            pub quarantine: Arc<BTreeMap<String, QuarantinedObject>>,
            marker: Option<(VersionMarker, Revision)>,
            epoch_start: Option<VersionMarker>,
            token_hashes: RedBlackTreeMapSync<TokenHash, ObjectName>,
            indexes: StateIndexes,
            /// Latest changes of objects and gateway ids.
            changes: ChangeLog<ObjectKey>,
            revisions: RedBlackTreeMapSync<String, Revision>,
            revision: Revision,
            content_revision: Revision,
        }

        impl StoreState {
            /// Returns `true` if the tables of the kinds that are compiled are shared with `other`.
            fn has_same_compiled_tables(&self, other: &Self) -> bool {
                let unused = |kind: ObjectKind| kind.snapshot_relevance() == SnapshotRelevance::Never;
                true $(&& (unused(ObjectKind::$D) || self.$dtable.ptr_eq(&other.$dtable)))*
                    $(&& (unused(ObjectKind::$O) || self.$otable.ptr_eq(&other.$otable)))*
            }

            /// Returns the keys of the objects that operators write whose organization does not exist.
            pub fn orphans(&self) -> impl Iterator<Item = ObjectKey> + '_ {
                let is_orphan = |key: &ObjectKey| {
                    let org = key.object().and_then(|object| object.org);
                    org.is_some_and(|org| !self.has_organization(org))
                };
                std::iter::empty()
                    $(.chain(self.$dtable.iter().map(|(id, _)| ObjectKey::$D(id.clone()))))*
                    .filter(is_orphan)
            }

            /// Returns the keys of the objects owned by an organization, without the organization itself.
            pub fn owned_by<'a>(&'a self, org: &'a Slug) -> impl Iterator<Item = ObjectKey> + 'a {
                std::iter::empty()
                    $(.chain(self.$dtable.owned_by(org).map(|id| ObjectKey::$D(id.clone()))))*
            }
        }
    };
}

for_each_kind!(define_state);

/// Store entry that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedObject {
    /// Description of the error, without any of the content.
    pub reason: String,
    /// Revision of the last write.
    pub mod_revision: Revision,
    /// True if the object is served in the form that it had before.
    pub keeps_last_form: bool,
}

/// Decoded change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectEvent {
    /// The key was written.
    Put {
        /// Raw key in the store.
        key: String,
        /// Revision of the write.
        modified: Revision,
        /// Decoded object, or the decoding error.
        object: Result<ControlObject, String>,
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
pub struct ListedObject {
    /// Raw key in the store.
    pub key: String,
    /// Revision of the last write.
    pub mod_revision: Revision,
    /// Decoded object, or the decoding error; `None` if [`StoreState::mod_revision`] of the key equals the
    /// revision, in which case the entry is not decoded again.
    pub object: Option<Result<ControlObject, String>>,
}

/// Differences found by a full comparison with the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResyncStats {
    /// Writes that the watch missed although it reported a later revision.
    pub missed_writes: usize,
    /// Deletions that the watch missed or had not delivered yet.
    pub missed_deletes: usize,
}

impl StoreState {
    /// Creates the state from a full listing at `revision`.
    pub fn from_listing(listing: Vec<ListedObject>, revision: Revision) -> Self {
        Self::default().relist(listing, revision).0
    }

    /// Applies `events` in order and advances to `revision`. Returns the number of events that changed the state.
    pub fn apply(
        &mut self,
        events: impl IntoIterator<Item = ObjectEvent>,
        revision: Revision,
    ) -> usize {
        let mut changed = 0;
        for event in events {
            changed += usize::from(match event {
                ObjectEvent::Put {
                    key,
                    modified,
                    object,
                } => self.apply_put(key, modified, object),
                ObjectEvent::Delete { key, revision } => self.apply_delete(&key, revision),
            });
        }
        self.revision = self.revision.max(revision);
        changed
    }

    /// Returns this state updated to a full listing at `revision`, and the differences found.
    #[must_use]
    pub fn relist(&self, listing: Vec<ListedObject>, revision: Revision) -> (Self, ResyncStats) {
        self.relist_meanwhile(listing, revision, &BTreeMap::new())
    }

    /// Returns this state updated to a full listing at `revision`, like [`Self::relist`]. The state may have advanced beyond
    /// the listing: later writes are kept, and so are the deletions in `deleted`, which names the keys that were deleted
    /// since the listing began, with the revisions of the deletions.
    #[must_use]
    pub fn relist_meanwhile(
        &self,
        listing: Vec<ListedObject>,
        revision: Revision,
        deleted: &BTreeMap<String, Revision>,
    ) -> (Self, ResyncStats) {
        let mut next = self.clone();
        // Changes of what was published under this version need another one.
        let repaired_at = self.revision.max(revision);
        let mut repairs = ResyncStats::default();
        let (mut listed, mut earlier_forms) = (BTreeMap::new(), BTreeSet::new());
        for entry in &listing {
            if let Some(form) = listed.insert(entry.key.as_str(), entry.mod_revision) {
                earlier_forms.insert((entry.key.clone(), form));
            }
        }
        let removed = |(key, modified): &(&String, &Revision)| {
            **modified <= revision && !listed.contains_key(key.as_str())
        };
        let removed = self.revisions.iter().filter(removed);
        let removed: Vec<String> = removed.map(|(key, _)| key.clone()).collect();
        for key in removed {
            repairs.missed_deletes += 1;
            next.remove_key(&key);
            next.record_change(&key);
            if tables::is_compile_input(&key) {
                next.content_revision = next.content_revision.max(repaired_at);
            }
        }
        for entry in listing {
            let is_earlier_form = |known: Revision| {
                known > entry.mod_revision
                    && earlier_forms.contains(&(entry.key.clone(), entry.mod_revision))
            };
            let is_outdated = match self.mod_revision(&entry.key) {
                Some(known) if known == entry.mod_revision => !next.can_complete(&entry),
                // The watch may have delivered the entry since the listing began.
                Some(known) => known > revision || is_earlier_form(known),
                None => {
                    let deleted = deleted.get(&entry.key);
                    deleted.is_some_and(|deleted| *deleted > entry.mod_revision)
                }
            };
            if is_outdated {
                continue;
            }
            let Some(object) = entry.object else { continue };
            let missed = entry.mod_revision <= self.revision;
            repairs.missed_writes += usize::from(missed);
            if missed && tables::is_compile_input(&entry.key) {
                // The revision of the entry was already published without the entry.
                next.content_revision = next.content_revision.max(repaired_at);
            }
            next.insert_key(entry.key, entry.mod_revision, object);
        }
        next.revision = repaired_at;
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
            revision: self.content_revision,
        }
    }

    /// Returns `true` if `self` and `other` certainly compile to the same snapshot. One of them must be derived
    /// from the other.
    pub fn has_same_compile_inputs(&self, other: &Self) -> bool {
        self.marker == other.marker
            && self.content_revision == other.content_revision
            && self.has_same_compiled_tables(other)
            && self.gateway_ids.ptr_eq(&other.gateway_ids)
    }

    /// Returns the epoch; 0 before the first marker.
    pub fn epoch(&self) -> u64 {
        self.marker.map_or(0, |(marker, _)| marker.epoch)
    }

    /// Returns the number of the epoch and the time at which it began.
    pub fn epoch_start(&self) -> Option<VersionMarker> {
        self.epoch_start
    }

    /// Returns the time of the last change.
    pub fn last_change(&self) -> Timestamp {
        self.marker
            .map_or(Timestamp(0), |(marker, _)| marker.last_change)
    }

    /// Returns the revision of the last write of a raw key, quarantined or not.
    pub fn mod_revision(&self, key: &str) -> Option<Revision> {
        self.revisions.get(key).copied()
    }

    /// Returns the revision of the last write of a key.
    pub fn mod_revision_at(&self, key: &ObjectKey) -> Option<Revision> {
        self.mod_revision(&key.to_string())
    }

    /// Returns the names of the gateways whose records cannot be read.
    pub fn unreadable_gateways(&self) -> impl Iterator<Item = ObjectName> + '_ {
        self.quarantine.keys().filter_map(|key| {
            let key: ObjectKey = key.parse().ok()?;
            let object = key.object().filter(|it| it.kind == Gateway::KIND)?;
            Some(ObjectName::new(object.org?.clone(), object.id.clone()))
        })
    }

    /// Returns `true` if the organization of the gateway owns its id. The claim of an id decides. An id without a claim, which
    /// only a direct write to the store produces, belongs to the first organization that has a gateway of this id.
    pub fn owns_gateway_id(&self, name: &ObjectName) -> bool {
        let claim = self.gateway_ids.get(&name.id).map(|claim| &claim.org);
        let first = || self.organizations_of_gateway_id(&name.id).next();
        claim.or_else(first).is_none_or(|owner| *owner == name.org)
    }

    /// Returns the claim of a gateway whose record cannot be read and whose last readable form is not known. Without a
    /// claim, there was no such gateway.
    pub fn claim_of_unreadable(&self, name: &ObjectName) -> Option<&GatewayClaim> {
        let is_unreadable = self.quarantined(&Gateway::key(name.clone())).is_some();
        let claim = self
            .gateway_ids
            .get(&name.id)
            .filter(|it| it.org == name.org);
        claim
            .filter(|_| is_unreadable && !self.gateways.contains(name))
            .map(|claim| &*claim.object)
    }

    /// Returns the quarantine entry of `key`, if it is quarantined.
    pub fn quarantined(&self, key: &ObjectKey) -> Option<&QuarantinedObject> {
        self.quarantine.get(&key.to_string())
    }

    /// Returns `true` if the organization exists, readable or not.
    pub fn has_organization(&self, org: &Slug) -> bool {
        let key = ObjectKey::Organization(org.clone());
        self.organizations.contains(org) || self.quarantined(&key).is_some()
    }

    /// Returns `true` if the proxy `id` was expelled and its last certificate may still be valid at `now`.
    pub fn is_expelled(&self, id: &Slug, now: Timestamp) -> bool {
        self.expelled.get(id).is_some_and(|until| **until > now)
    }

    /// Returns the token with this hash. The admin API authenticates with it.
    pub fn token_by_hash(&self, hash: &TokenHash) -> Option<&VersionedObject<Token>> {
        self.tokens.get(self.token_hashes.get(hash)?)
    }

    /// Returns the object at `key`, if it exists and is not quarantined.
    pub fn object(&self, key: &ObjectKey) -> Option<ControlObject> {
        self.find(key)
    }

    /// Returns this state after `change`, at the next revision, for dry runs.
    #[must_use]
    pub fn after_change(&self, change: &Change) -> Self {
        let revision = self.revision + 1;
        let put = |(key, object): &(ObjectKey, ControlObject)| ObjectEvent::Put {
            key: key.to_string(),
            modified: revision,
            object: Ok(object.clone()),
        };
        let delete = |key: &ObjectKey| ObjectEvent::Delete {
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
}
