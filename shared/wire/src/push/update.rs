//! Conversion of pushes and their answers. A push is one delta. It is sent in parts that stay below the message size
//! limit, and the receiver reassembles it before any of it is processed.

use std::collections::BTreeMap;

use prost::Message as _;
use toolgate_model::{
    Delta, ResourceKey, ResourceRejection, Version,
    snapshot::{GatewayResource, SnapshotEntry},
};
use toolgate_proto::push::v1 as pb;

use super::{
    key::{key, key_to_proto},
    resource::{ReceivedResource, RejectedResource, ResourcePieces, check_resource, join_resource},
    version, version_to_proto,
};
use crate::{
    field,
    invalid::{FieldViolation, invalid},
    limits,
};

/// Size in bytes at which a part of a push is closed. Its last resource may exceed it.
const PART: usize = 1024 * 1024;

invalid! {
    /// Error of an invalid push.
    InvalidUpdate: "push";
}

/// Received push, split by the required action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedUpdate {
    /// Nonce to be named in the answer.
    pub nonce: u64,
    /// Version after the push is applied.
    pub version: Version,
    /// New or changed resources that are valid.
    pub puts: Vec<(ResourceKey, SnapshotEntry)>,
    /// Keys of removed resources. A removal takes precedence over a put of the same key in the same push.
    pub removes: Vec<ResourceKey>,
    /// Placeholders of gateways to deny until they are supported.
    pub denied: Vec<(ResourceKey, GatewayResource)>,
    /// Rejected resources (including denied gateways), to be named in the Nack.
    pub rejected: Vec<RejectedResource>,
}

/// Reassembles pushes from their parts.
#[derive(Debug, Default)]
pub struct UpdateAssembler {
    parts: Option<pb::Update>,
}

impl UpdateAssembler {
    /// Adds the next message, and returns the push if this was its last part. After an error the stream has to be
    /// closed, because the peers no longer agree on the state.
    pub fn add_part(&mut self, part: pb::Update) -> Result<Option<ReceivedUpdate>, InvalidUpdate> {
        let mut whole = match self.parts.take() {
            None => pb::Update {
                version: part.version,
                nonce: part.nonce,
                ..pb::Update::default()
            },
            Some(held) if held.nonce == part.nonce && held.version == part.version => held,
            Some(held) => {
                let reason = format!("{} came in the middle of {}", part.nonce, held.nonce);
                return Err(FieldViolation::new("nonce", reason).into());
            }
        };
        for put in part.puts {
            join_resource(&mut whole.puts, put);
        }
        whole.removes.extend(part.removes);
        whole.more = part.more;
        field::max_count("puts", whole.puts.len(), limits::RESOURCES)?;
        field::max_count("removes", whole.removes.len(), limits::RESOURCES)?;
        if whole.more {
            whole.more = false;
            self.parts = Some(whole);
            return Ok(None);
        }
        received_update(&whole).map(Some)
    }
}

/// Splits a delta into messages, in order; at least one. Each message is created on demand, so that a large push is
/// never held in memory twice. A resource is in one message, however large it is: for proxies that do not read others.
pub fn updates(nonce: u64, delta: Delta) -> impl Iterator<Item = pb::Update> + Send {
    messages(nonce, delta, None)
}

/// Like [`updates`]. A resource with large definitions continues in further entries, so that no message is much larger
/// than [`PART`].
pub fn continued_updates(nonce: u64, delta: Delta) -> impl Iterator<Item = pb::Update> + Send {
    messages(nonce, delta, Some(PART))
}

fn messages(
    nonce: u64,
    delta: Delta,
    piece_bytes: Option<usize>,
) -> impl Iterator<Item = pb::Update> + Send {
    let version = delta.version;
    let puts = delta.puts.into_iter();
    let mut puts = puts
        .flat_map(move |put| ResourcePieces::new(put, piece_bytes))
        .peekable();
    let mut removes = delta.removes.into_iter().peekable();
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let mut part = pb::Update {
            version: Some(version_to_proto(version)),
            nonce,
            ..pb::Update::default()
        };
        let mut size = 0;
        while size < PART {
            if let Some(resource) = puts.next() {
                size += resource.encoded_len();
                part.puts.push(resource);
            } else if let Some(key) = removes.next() {
                let key = key_to_proto(&key);
                size += key.encoded_len();
                part.removes.push(key);
            } else {
                break;
            }
        }
        part.more = puts.peek().is_some() || removes.peek().is_some();
        done = !part.more;
        Some(part)
    })
}

/// Converts the resources rejected by a proxy. Entries with an invalid key are left out, because such a resource cannot
/// have been sent.
pub fn rejections(given: &[pb::Refused]) -> Vec<ResourceRejection> {
    let checked = |rejected: &pb::Refused| {
        let resource = key(rejected.key.as_ref()).ok()?;
        let reason = rejected.reason.chars().take(limits::REASON).collect();
        Some(ResourceRejection { resource, reason })
    };
    let bounded = given.iter().take(limits::REFUSALS);
    bounded.filter_map(checked).collect()
}

/// Converts a rejected resource to its entry in the Nack.
pub fn rejected_to_proto(rejected: &RejectedResource) -> pb::Refused {
    pb::Refused {
        key: rejected.key.clone(),
        reason: rejected.reason.clone(),
    }
}

fn received_update(whole: &pb::Update) -> Result<ReceivedUpdate, InvalidUpdate> {
    if whole.version.is_none() {
        return Err(FieldViolation::new("version", "is missing").into());
    }
    let mut incoming = ReceivedUpdate {
        nonce: whole.nonce,
        version: version(whole.version.as_ref()),
        ..ReceivedUpdate::default()
    };
    let mut puts = BTreeMap::new();
    for resource in &whole.puts {
        match check_resource(resource) {
            ReceivedResource::Accepted(key, entry) => {
                puts.insert(key, entry);
            }
            ReceivedResource::Rejected(rejected) => incoming.rejected.push(rejected),
            ReceivedResource::Denied(key, placeholder, rejected) => {
                incoming.denied.push((key, *placeholder));
                incoming.rejected.push(rejected);
            }
        }
    }
    for (at, given) in whole.removes.iter().enumerate() {
        match key(Some(given)) {
            Ok(key) => {
                puts.remove(&key);
                incoming.removes.push(key);
            }
            Err(invalid) => incoming.rejected.push(RejectedResource {
                key: Some(given.clone()),
                known: None,
                reason: format!("removes[{at}]: {invalid}"),
            }),
        }
    }
    incoming.puts = puts.into_iter().collect();
    Ok(incoming)
}
