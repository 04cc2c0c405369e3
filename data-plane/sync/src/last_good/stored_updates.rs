//! Encoding of saved pushes, and their combination when they are read back.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use toolgate_model::{
    Delta, ResourceKey, Snapshot, Version,
    snapshot::{GatewayResource, SnapshotEntry},
};
use toolgate_proto::push::v1 as pb;
use toolgate_wire::push::{
    ReceivedUpdate, RejectedResource, UpdateAssembler, continued_updates, resource_to_proto,
    updates,
};

/// Number of bytes after which the progress of reading is logged.
const PROGRESS: usize = 64 * 1024 * 1024;

/// Encodes the whole snapshot as a push. Large resources are not divided: builds that cannot put them together read this
/// form.
pub(super) fn snapshot_to_bytes(snapshot: &Snapshot) -> Vec<u8> {
    encode(updates(0, snapshot.since(&BTreeMap::new())))
}

/// Returns the length of a resource in a push, approximately.
pub(super) fn stored_length(key: &ResourceKey, entry: &SnapshotEntry) -> u64 {
    resource_to_proto(key, entry).encoded_len() as u64
}

/// Encodes a delta as a push.
pub(super) fn delta_to_bytes(delta: Delta) -> Vec<u8> {
    encode(continued_updates(0, delta))
}

fn encode(updates: impl Iterator<Item = pb::Update>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for update in updates {
        // Encoding fails only if the buffer is full, and a `Vec` grows.
        let _written = update.encode_length_delimited(&mut bytes);
    }
    bytes
}

/// Decodes a push; returns `None` unless the bytes are exactly one complete push.
pub(super) fn from_bytes(mut bytes: &[u8]) -> Option<ReceivedUpdate> {
    let mut assembly = UpdateAssembler::default();
    let (all, mut reported) = (bytes.len(), 0);
    while !bytes.is_empty() {
        let read = all - bytes.len();
        if read - reported > PROGRESS {
            reported = read;
            let (mebibytes, of) = (read >> 20, all >> 20);
            tracing::info!(mebibytes, of, "reading the saved configuration");
        }
        let update = pb::Update::decode_length_delimited(&mut bytes).ok()?;
        if let Some(incoming) = assembly.add_part(update).ok()? {
            return bytes.is_empty().then_some(incoming);
        }
    }
    None
}

/// Combines saved pushes, in order, into the one push that has the effect of all.
#[derive(Debug, Default)]
pub(super) struct StoredUpdates {
    version: Version,
    puts: BTreeMap<ResourceKey, SnapshotEntry>,
    denied: BTreeMap<ResourceKey, GatewayResource>,
    rejected: Vec<RejectedResource>,
}

impl StoredUpdates {
    /// Adds the next push. A resource that it rejects keeps its form of an earlier push.
    pub(super) fn add(&mut self, update: ReceivedUpdate) {
        self.forget_rejections(&update);
        self.version = update.version;
        for (key, entry) in update.puts {
            self.denied.remove(&key);
            self.puts.insert(key, entry);
        }
        for (key, placeholder) in update.denied {
            self.puts.remove(&key);
            self.denied.insert(key, placeholder);
        }
        for key in &update.removes {
            self.puts.remove(key);
            self.denied.remove(key);
        }
        self.rejected.extend(update.rejected);
    }

    /// Returns the push that has the effect of all.
    pub(super) fn into_update(self) -> ReceivedUpdate {
        ReceivedUpdate {
            nonce: 0,
            version: self.version,
            puts: self.puts.into_iter().collect(),
            removes: Vec::new(),
            denied: self.denied.into_iter().collect(),
            rejected: self.rejected,
        }
    }

    /// Drops earlier rejections of resources that `update` contains.
    fn forget_rejections(&mut self, update: &ReceivedUpdate) {
        if self.rejected.is_empty() {
            return;
        }
        let puts = update.puts.iter().map(|(key, _)| key);
        let denied = update.denied.iter().map(|(key, _)| key);
        let rejected = update.rejected.iter();
        let rejected = rejected.filter_map(|it| it.known.as_ref());
        let named = puts.chain(denied).chain(rejected).chain(&update.removes);
        let named: BTreeSet<&ResourceKey> = named.collect();
        let is_named =
            |it: &RejectedResource| it.known.as_ref().is_some_and(|key| named.contains(key));
        self.rejected.retain(|it| !is_named(it));
    }
}
