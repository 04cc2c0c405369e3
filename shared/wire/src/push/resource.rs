//! Conversion of resources, each validated separately: kind, required features, all other fields, then the digest of the
//! converted content.

mod definitions;
mod gateway;
mod server;
mod trusted_issuer;

use std::collections::BTreeMap;

use toolgate_model::{
    Digest, ResourceKey, SnapshotResource, Timestamp, TokenSubject,
    snapshot::{GatewayResource, SnapshotEntry, TokenResource, unsupported_feature},
};
use toolgate_proto::push::v1 as pb;

use super::key::{key, key_to_proto};
use crate::{field, invalid::FieldViolation, limits, rate_limit};
use definitions::DefinitionPosition;

/// Outcome of one resource of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivedResource {
    /// The resource is valid and can be served.
    Accepted(ResourceKey, SnapshotEntry),
    /// The resource is invalid. The last accepted form is kept.
    Rejected(RejectedResource),
    /// The gateway requires a feature that this build does not support. Serving it would be too permissive, so all
    /// calls to its placeholder are denied.
    Denied(ResourceKey, Box<GatewayResource>, RejectedResource),
}

/// Rejected resource, as named in the Nack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedResource {
    /// Key as received. Its kind may be unknown to this build.
    pub key: Option<pb::ResourceKey>,
    /// Converted key, if this build knows the kind.
    pub known: Option<ResourceKey>,
    /// Reason, with the field.
    pub reason: String,
}

/// Validates one resource.
pub fn check_resource(given: &pb::Resource) -> ReceivedResource {
    let rejected = |known: Option<ResourceKey>, reason: String| RejectedResource {
        key: given.key.clone(),
        known,
        reason: reason.chars().take(limits::REASON).collect(),
    };
    let key = match key(given.key.as_ref()) {
        Ok(key) => key,
        Err(invalid) => return ReceivedResource::Rejected(rejected(None, invalid.to_string())),
    };
    if let Some((gateway, unknown)) = unknown(given) {
        let reason = format!(
            "must_understand: this proxy does not know `{unknown}` and denies the gateway; upgrade the proxy"
        );
        let unknown = unknown.chars().take(limits::REASON).collect();
        let uid = field::uid("uid", &gateway.uid).ok().flatten();
        let placeholder = Box::new(GatewayResource::denied(unknown, uid));
        return ReceivedResource::Denied(key.clone(), placeholder, rejected(Some(key), reason));
    }
    match checked(&key, given) {
        Ok(entry) => ReceivedResource::Accepted(key, entry),
        Err(violation) => ReceivedResource::Rejected(rejected(Some(key), violation.to_string())),
    }
}

/// Converts to a message.
pub fn resource_to_proto(key: &ResourceKey, entry: &SnapshotEntry) -> pb::Resource {
    let body = match &*entry.resource {
        SnapshotResource::Gateway(gateway) => {
            pb::resource::Body::Gateway(gateway::to_proto(gateway))
        }
        SnapshotResource::Server(server) => pb::resource::Body::Server(server::to_proto(server)),
        SnapshotResource::Catalogue(given) => {
            pb::resource::Body::Catalogue(definitions::to_proto(given))
        }
        SnapshotResource::Token(token) => pb::resource::Body::Token(token_to_proto(token)),
    };
    pb::Resource {
        key: Some(key_to_proto(key)),
        digest: entry.content.0.to_vec(),
        body: Some(body),
        continues: false,
    }
}

/// Messages of a resource: one, or as many as its definitions need.
pub(super) struct ResourcePieces {
    key: ResourceKey,
    entry: SnapshotEntry,
    next: Option<DefinitionPosition>,
    /// Size in bytes at which a piece ends; `None` if the resource is one message.
    piece_bytes: Option<usize>,
}

impl ResourcePieces {
    pub(super) fn new(
        (key, entry): (ResourceKey, SnapshotEntry),
        piece_bytes: Option<usize>,
    ) -> Self {
        Self {
            key,
            entry,
            next: Some((0, 0)),
            piece_bytes,
        }
    }
}

impl Iterator for ResourcePieces {
    type Item = pb::Resource;

    fn next(&mut self) -> Option<pb::Resource> {
        let start = self.next.take()?;
        let (SnapshotResource::Catalogue(given), Some(bytes)) =
            (self.entry.resource.as_ref(), self.piece_bytes)
        else {
            return Some(resource_to_proto(&self.key, &self.entry));
        };
        let (piece, rest) = definitions::piece(given, start, bytes);
        self.next = rest;
        Some(pb::Resource {
            key: Some(key_to_proto(&self.key)),
            digest: self.entry.content.0.to_vec(),
            body: Some(pb::resource::Body::Catalogue(piece)),
            continues: rest.is_some(),
        })
    }
}

/// Adds a resource to those of a push: appends its lists to the last one, if that continues.
pub(super) fn join_resource(puts: &mut Vec<pb::Resource>, next: pb::Resource) {
    use pb::resource::Body;
    let before = puts
        .last_mut()
        .filter(|it| it.continues && it.key == next.key && it.digest == next.digest);
    let Some(before) = before else {
        puts.push(next);
        return;
    };
    match (&mut before.body, next.body) {
        (Some(Body::Catalogue(lists)), Some(Body::Catalogue(more))) => {
            definitions::join(lists, more);
            before.continues = next.continues;
        }
        // Not sent by any build. The resource is incomplete, so that its digest does not match.
        (_, body) => puts.push(pb::Resource { body, ..next }),
    }
}

/// Converts the digests held by a proxy. Invalid entries are left out, so those resources are sent again.
pub fn digests(given: &[pb::Held]) -> BTreeMap<ResourceKey, Digest> {
    let checked = |held: &pb::Held| {
        let digest = field::digest("digest", &held.digest).ok()?;
        Some((key(held.key.as_ref()).ok()?, digest))
    };
    let bounded = given.iter().take(limits::RESOURCES);
    bounded.filter_map(checked).collect()
}

/// Converts the held digests to messages.
pub fn digests_to_proto(held: &BTreeMap<ResourceKey, Digest>) -> Vec<pb::Held> {
    let to_proto = |(key, digest): (&ResourceKey, &Digest)| pb::Held {
        key: Some(key_to_proto(key)),
        digest: digest.0.to_vec(),
    };
    held.iter().map(to_proto).collect()
}

fn unknown(given: &pb::Resource) -> Option<(&pb::Gateway, &str)> {
    let Some(pb::resource::Body::Gateway(gateway)) = &given.body else {
        return None;
    };
    let feature = unsupported_feature(&gateway.must_understand)?;
    Some((gateway, feature))
}

fn checked(key: &ResourceKey, given: &pb::Resource) -> Result<SnapshotEntry, FieldViolation> {
    use toolgate_model::SnapshotResourceKind as Kind;
    let resource = match (key.kind, &given.body) {
        (Kind::Gateway, Some(pb::resource::Body::Gateway(body))) => {
            SnapshotResource::Gateway(gateway::checked(body).map_err(|v| v.under("gateway"))?)
        }
        (Kind::Server, Some(pb::resource::Body::Server(body))) => {
            SnapshotResource::Server(server::checked(body).map_err(|v| v.under("server"))?)
        }
        (Kind::Catalogue, Some(pb::resource::Body::Catalogue(body))) => {
            SnapshotResource::Catalogue(
                definitions::checked(body).map_err(|v| v.under("catalogue"))?,
            )
        }
        (Kind::Token, Some(pb::resource::Body::Token(body))) => {
            SnapshotResource::Token(token(body).map_err(|v| v.under("token"))?)
        }
        (_, None) => {
            return Err(FieldViolation::new(
                "body",
                "is missing or unknown to this build",
            ));
        }
        (_, Some(_)) => return Err(FieldViolation::new("body", "is not of the kind in the key")),
    };
    let entry = SnapshotEntry::new(resource);
    if entry.content == field::digest("digest", &given.digest)? {
        return Ok(entry);
    }
    let reason = format!(
        "is not that of the content, which is {}: this build does not read all of it",
        entry.content.to_hex()
    );
    Err(FieldViolation::new("digest", reason))
}

fn token(given: &pb::Token) -> Result<TokenResource, FieldViolation> {
    let tool = |field: &str, given: &str| field::required(field, given, limits::TOOL_NAME);
    Ok(TokenResource {
        hash: field::token_hash("hash", &given.hash)?,
        subject: subject(given.subject.as_ref())?,
        gateways: field::allow_list("gateways", &given.gateways, given.no_gateways, field::slug)?,
        tools: field::allow_list("tools", &given.tools, given.no_tools, tool)?,
        expires: (given.expire_time_ms != 0).then_some(Timestamp(given.expire_time_ms)),
        rate_limits: rate_limit::unscoped("rate_limits", &given.rate_limits)?,
    })
}

fn token_to_proto(given: &TokenResource) -> pb::Token {
    let subject = match &given.subject {
        TokenSubject::Organization => pb::subject::Subject::Organization(true),
        TokenSubject::Team(id) => pb::subject::Subject::Team(id.to_string()),
        TokenSubject::User(id) => pb::subject::Subject::User(id.to_string()),
    };
    let (gateways, no_gateways) = field::allow_list_to_proto(&given.gateways);
    let (tools, no_tools) = field::allow_list_to_proto(&given.tools);
    pb::Token {
        hash: given.hash.0.to_vec(),
        subject: Some(pb::Subject {
            subject: Some(subject),
        }),
        gateways,
        tools,
        // A token that expires at the epoch itself must not become a token that never expires.
        expire_time_ms: given.expires.map_or(0, |at| at.0.max(1)),
        no_gateways,
        no_tools,
        rate_limits: rate_limit::unscoped_to_proto(&given.rate_limits),
    }
}

fn subject(given: Option<&pb::Subject>) -> Result<TokenSubject, FieldViolation> {
    match given.and_then(|given| given.subject.as_ref()) {
        Some(pb::subject::Subject::Organization(true)) => Ok(TokenSubject::Organization),
        Some(pb::subject::Subject::Team(id)) => {
            field::slug("subject.team", id).map(TokenSubject::Team)
        }
        Some(pb::subject::Subject::User(id)) => {
            field::slug("subject.user", id).map(TokenSubject::User)
        }
        Some(pb::subject::Subject::Organization(false)) | None => {
            Err(FieldViolation::new("subject", "is missing or unknown"))
        }
    }
}
