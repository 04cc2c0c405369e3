//! The last good configuration as bytes: the push that would bring it. Read back, it is checked like any other push.

use prost::Message as _;
use toolgate_model::Snapshot;
use toolgate_proto::push::v1 as pb;
use toolgate_wire::push::{Assembly, Incoming, updates};

/// Name of the file.
pub(crate) const FILE: &str = "view";

/// A push of all of `snapshot`.
pub(crate) fn to_bytes(snapshot: &Snapshot) -> Vec<u8> {
    let delta = snapshot.since(&std::collections::BTreeMap::new());
    let mut bytes = Vec::new();
    for update in updates(0, delta) {
        // Fails only when a buffer is full, and this one grows.
        let _written = update.encode_length_delimited(&mut bytes);
    }
    bytes
}

/// The push in `bytes`; none if they do not hold one whole push.
pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Incoming> {
    let mut assembly = Assembly::default();
    while !bytes.is_empty() {
        let update = pb::Update::decode_length_delimited(&mut bytes).ok()?;
        if let Some(incoming) = assembly.take(update).ok()? {
            return bytes.is_empty().then_some(incoming);
        }
    }
    None
}

#[cfg(test)]
mod tests;
