//! Stored form of the last good configuration: the push that would deliver it. When read back, it is validated like any
//! other push.

use prost::Message as _;
use toolgate_model::Snapshot;
use toolgate_proto::push::v1 as pb;
use toolgate_wire::push::{ReceivedUpdate, UpdateAssembler, continued_updates};

pub(crate) const FILE: &str = "view";

/// Encodes the whole snapshot as a push.
pub(crate) fn to_bytes(snapshot: &Snapshot) -> Vec<u8> {
    let delta = snapshot.since(&std::collections::BTreeMap::new());
    let mut bytes = Vec::new();
    for update in continued_updates(0, delta) {
        // Encoding fails only if the buffer is full, and a `Vec` grows.
        let _written = update.encode_length_delimited(&mut bytes);
    }
    bytes
}

/// Decodes a push; returns `None` unless the bytes are exactly one complete push.
pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<ReceivedUpdate> {
    let mut assembly = UpdateAssembler::default();
    while !bytes.is_empty() {
        let update = pb::Update::decode_length_delimited(&mut bytes).ok()?;
        if let Some(incoming) = assembly.add_part(update).ok()? {
            return bytes.is_empty().then_some(incoming);
        }
    }
    None
}

#[cfg(test)]
mod tests;
