//! Kinds of objects that operators write, as the admin API shows them. The operations on kinds are implemented once, in
//! [`crate::crud`] and [`crate::watch`]; a kind without status and without secrets needs no file here.

mod credential;
mod gateway;
mod server;
mod token;

use prost::Message;
use tonic::Status;
use toolgate_control_core::{
    OperatorObject, StateKind, StoreState, VersionedObject,
    port::{PlaintextSecret, PublishedState},
};
use toolgate_model::{ObjectId as _, Slug, Timestamp, for_each_kind, kind::DesiredObject};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{ProtoConversion, resource_name};

use crate::{api_context::SecretServices, status, watch::ObjectFingerprint};

/// Message of a kind.
pub(crate) trait KindMessage: DesiredObject + StateKind {
    /// Protobuf message of the kind.
    type Proto: Message + Default + Clone + 'static;

    /// Returns the metadata of a message.
    fn metadata(message: &mut Self::Proto) -> &mut Option<pb::Metadata>;
}

/// Kind of object that operators write.
pub(crate) trait AdminResource: KindMessage {
    /// Returns `true` if only the system identity may write the object.
    fn is_system_owned(&self) -> bool {
        false
    }

    /// Converts the object to a message, without resource version and status.
    fn to_message(&self) -> Self::Proto;

    /// Adds the status, for kinds that have one.
    fn add_status(
        _message: &mut Self::Proto,
        _id: &Self::Id,
        _published: &PublishedState,
        _now: Timestamp,
    ) {
    }

    /// Returns the fingerprint for watches: it changes when the message would change.
    fn fingerprint(
        _id: &Self::Id,
        stored: &VersionedObject<Self>,
        _published: &PublishedState,
        _now: Timestamp,
    ) -> ObjectFingerprint {
        ObjectFingerprint::Stored(stored.mod_revision)
    }

    /// Validates a message and builds the object to write. `stored` is the current object.
    fn prepare(
        secrets: &SecretServices,
        message: &Self::Proto,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status>;
}

/// Implements a kind whose message contains all its fields; the kinds named here have a file.
macro_rules! plain_resource {
    (Credential, $Object:ty) => {};
    (Server, $Object:ty) => {};
    (Gateway, $Object:ty) => {};
    (Token, $Object:ty) => {};
    ($Kind:ident, $Object:ty) => {
        impl AdminResource for $Object {
            fn to_message(&self) -> Self::Proto {
                self.to_proto()
            }

            fn prepare(
                _secrets: &SecretServices,
                message: &Self::Proto,
                _stored: Option<&Self>,
            ) -> Result<PreparedObject, Status> {
                prepare_message::<Self>(message)
            }
        }
    };
}

macro_rules! define_resources {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed $observed:tt
    ) => {
        /// Types of the kinds, by the names of their messages.
        pub(crate) mod types {
            $(pub(crate) type $DMessage = $DObject;)*
        }

        $(
        impl KindMessage for $DObject {
            type Proto = pb::$DMessage;

            fn metadata(message: &mut pb::$DMessage) -> &mut Option<pb::Metadata> {
                &mut message.metadata
            }
        }

        plain_resource!($D, $DObject);
        )*
    };
}

for_each_kind!(define_resources);

/// Validated object, ready to be written.
pub(crate) struct PreparedObject {
    pub(crate) desired: OperatorObject,
    /// Secret created with the object, shown once.
    pub(crate) secret: Option<PlaintextSecret>,
}

impl From<OperatorObject> for PreparedObject {
    fn from(desired: OperatorObject) -> Self {
        let secret = None;
        Self { desired, secret }
    }
}

/// Prepares an object whose message contains all its fields.
fn prepare_message<R>(message: &<R as KindMessage>::Proto) -> Result<PreparedObject, Status>
where
    R: KindMessage + ProtoConversion<Proto = <R as KindMessage>::Proto> + Into<OperatorObject>,
{
    let object = R::from_proto(message).map_err(status::invalid_message)?;
    Ok(PreparedObject::from(object.into()))
}

/// Returns the organization of an object. An organization belongs to itself.
pub(crate) fn owner<R: AdminResource>(id: &R::Id) -> &Slug {
    let (org, id) = id.parts();
    org.unwrap_or(id)
}

/// Converts a stored object to the message that callers see.
pub(crate) fn show<R: AdminResource>(
    id: &R::Id,
    stored: &VersionedObject<R>,
    published: &PublishedState,
    now: Timestamp,
) -> R::Proto {
    let mut message = stored.object.to_message();
    if let Some(metadata) = R::metadata(&mut message) {
        metadata.resource_version = stored.mod_revision.to_string();
    }
    R::add_status(&mut message, id, published, now);
    message
}

/// Builds the message of a deleted object in a watch event. It contains only the name.
pub(crate) fn tombstone<R: AdminResource>(id: &R::Id) -> R::Proto {
    let mut message = R::Proto::default();
    *R::metadata(&mut message) = Some(pb::Metadata {
        name: resource_name::format::<R>(id),
        ..Default::default()
    });
    message
}

/// Returns at most `limit` objects of `org` after `after`, ordered by id.
pub(crate) fn objects_of_org<'a, R: AdminResource>(
    state: &'a StoreState,
    org: &Slug,
    after: Option<&R::Id>,
    limit: usize,
) -> Vec<(R::Id, &'a VersionedObject<R>)> {
    let table = R::table(state);
    // The smallest possible id of the organization: ids start with a letter.
    let first = "a".parse().ok();
    let first = first.and_then(|id| R::Id::from_parts(Some(org.clone()), id));
    // `after` excludes its bound, so the smallest possible id is looked up separately.
    let least = first.as_ref().filter(|_| after.is_none());
    let least = least.and_then(|id| table.get(id).map(|stored| (id.clone(), stored)));
    let rest = table.after(after.or(first.as_ref()));
    let rest = rest.take_while(|(id, _)| owner::<R>(id) == org);
    let rest = rest.map(|(id, stored)| (id.clone(), stored));
    least.into_iter().chain(rest).take(limit).collect()
}
