//! Pushes and their answers. A push is one delta; on the wire it goes in parts that stay below the message cap, and
//! the receiver puts it together again before it looks at any of it.

use std::collections::BTreeMap;

use prost::Message as _;
use toolgate_model::{Delta, Refusal, ResourceKey, Version, snapshot::Entry};
use toolgate_proto::push::v1 as pb;

use super::{
    key::{key, key_to_proto},
    resource::{Received, RefusedResource, receive, resource_to_proto},
    version, version_to_proto,
};
use crate::{
    field,
    invalid::{Violation, invalid},
    limits,
};

/// A part of a push closes when it reaches this many bytes; one resource may carry it further.
const PART: usize = 1024 * 1024;

invalid! {
    /// Why messages are no push.
    InvalidUpdate: "push";
}

/// A push, taken apart by what has to be done with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// To be named in the answer.
    pub nonce: u64,
    /// The version it leads to.
    pub version: Version,
    /// New or changed, checked.
    pub puts: Vec<(ResourceKey, Entry)>,
    /// Gone. Beats a put of the same key in the same push.
    pub removes: Vec<ResourceKey>,
    /// Gateways to deny until they are understood, and the field of each that is not.
    pub deny: Vec<(ResourceKey, String)>,
    /// What was not taken (those to deny among it): the Nack.
    pub refused: Vec<RefusedResource>,
}

/// Puts the parts of pushes together.
#[derive(Debug, Default)]
pub struct Assembly {
    parts: Option<pb::Update>,
}

impl Assembly {
    /// Takes the next message; answers the push when it was the last part. After an error the stream is to be closed:
    /// the other side and this one no longer agree.
    pub fn take(&mut self, part: pb::Update) -> Result<Option<Incoming>, InvalidUpdate> {
        let mut whole = match self.parts.take() {
            None => part,
            Some(mut held) => {
                if held.nonce != part.nonce || held.version != part.version {
                    let reason = format!("{} came in the middle of {}", part.nonce, held.nonce);
                    return Err(Violation::new("nonce", reason).into());
                }
                held.puts.extend(part.puts);
                held.removes.extend(part.removes);
                held.more = part.more;
                held
            }
        };
        field::cap("puts", whole.puts.len(), limits::RESOURCES)?;
        field::cap("removes", whole.removes.len(), limits::RESOURCES)?;
        if whole.more {
            whole.more = false;
            self.parts = Some(whole);
            return Ok(None);
        }
        incoming(&whole).map(Some)
    }
}

/// A delta as messages, in order; at least one. Each is made when it is asked for, so that a large push is never in
/// memory twice.
pub fn updates(nonce: u64, delta: Delta) -> impl Iterator<Item = pb::Update> + Send {
    let version = delta.version;
    let mut puts = delta.puts.into_iter().peekable();
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
            if let Some((key, entry)) = puts.next() {
                let resource = resource_to_proto(&key, &entry);
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

/// What a proxy refused. A refusal of something we cannot have sent is left out.
pub fn refusals(given: &[pb::Refused]) -> Vec<Refusal> {
    let checked = |refused: &pb::Refused| {
        let resource = key(refused.key.as_ref()).ok()?;
        let reason = refused.reason.chars().take(limits::REASON).collect();
        Some(Refusal { resource, reason })
    };
    let bounded = given.iter().take(limits::REFUSALS);
    bounded.filter_map(checked).collect()
}

/// A refusal, as it goes into the Nack.
pub fn refused_to_proto(refused: &RefusedResource) -> pb::Refused {
    pb::Refused {
        key: refused.key.clone(),
        reason: refused.reason.clone(),
    }
}

fn incoming(whole: &pb::Update) -> Result<Incoming, InvalidUpdate> {
    if whole.version.is_none() {
        return Err(Violation::new("version", "is missing").into());
    }
    let mut incoming = Incoming {
        nonce: whole.nonce,
        version: version(whole.version.as_ref()),
        ..Incoming::default()
    };
    let mut puts = BTreeMap::new();
    for resource in &whole.puts {
        match receive(resource) {
            Received::Checked(key, entry) => {
                puts.insert(key, entry);
            }
            Received::Refused(refused) => incoming.refused.push(refused),
            Received::Deny(key, field, refused) => {
                incoming.deny.push((key, field));
                incoming.refused.push(refused);
            }
        }
    }
    for (at, given) in whole.removes.iter().enumerate() {
        match key(Some(given)) {
            Ok(key) => {
                puts.remove(&key);
                incoming.removes.push(key);
            }
            Err(invalid) => incoming.refused.push(RefusedResource {
                key: Some(given.clone()),
                known: None,
                reason: format!("removes[{at}]: {invalid}"),
            }),
        }
    }
    incoming.puts = puts.into_iter().collect();
    Ok(incoming)
}
