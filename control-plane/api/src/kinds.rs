//! Kinds of objects that operators write. One trait describes the table, the name and the message of each kind. The
//! operations on kinds are implemented once, in [`crate::crud`] and [`crate::watch`].

mod credential;
mod gateway;
mod organization;
mod server;
mod token;

use std::sync::Arc;

use prost::Message;
use tonic::Status;
use toolgate_control_core::{
    ControlObject, Desired, ObjectKey, ObjectTable, StoreState, VersionedObject,
};
use toolgate_model::{ObjectName, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, PlaintextValue};

use crate::control_api::{ControlApi, PublishedState};

pub(crate) use credential::encryption_context;

/// Kind of object that operators write.
pub(crate) trait AdminResource: Send + Sync + 'static {
    /// Protobuf message of the kind.
    type Proto: Message + Default + Clone + 'static;
    /// Key of an object in its table.
    type Id: Ord + Clone + Send + Sync + 'static;

    /// Field name in requests, e.g. `gateway`.
    const FIELD: &'static str;
    /// Full name of the protobuf message.
    const MESSAGE: &'static str;

    /// Returns the table of this kind.
    fn table(state: &StoreState) -> &ObjectTable<Self::Id, Self>
    where
        Self: Sized;

    /// Returns the first possible id in `org`.
    fn first(org: &Slug) -> Option<Self::Id>;

    /// Parses a full resource name.
    fn parse(name: &str) -> Result<Self::Id, InvalidResourceName>;

    /// Formats an id as a full resource name.
    fn format(id: &Self::Id) -> String;

    /// Builds the id of object `id` in organization `org`. An organization has no owner.
    fn within(org: Option<&Slug>, id: Slug) -> Option<Self::Id>;

    /// Returns the organization of an id.
    fn org(id: &Self::Id) -> &Slug;

    /// Returns the store key of an id.
    fn key(id: &Self::Id) -> ObjectKey;

    /// Returns the metadata of a message.
    fn metadata(message: &mut Self::Proto) -> &mut Option<pb::Metadata>;

    /// Returns `true` if only the system identity may write the object.
    fn is_system_owned(&self) -> bool {
        false
    }

    /// Converts the object to a message, without resource version and status.
    fn to_proto(&self) -> Self::Proto;

    /// Adds the status, for kinds that have one.
    fn add_status(_message: &mut Self::Proto, _id: &Self::Id, _published: &PublishedState) {}

    /// Validates a message and builds the object to write. `stored` is the current object.
    fn prepare(
        control_api: &dyn ControlApi,
        message: &Self::Proto,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status>
    where
        Self: Sized;

    /// Returns the object of this kind from a change.
    fn of_object(object: &ControlObject) -> Option<&Arc<Self>>
    where
        Self: Sized;
}

/// Validated object, ready to be written.
pub(crate) struct PreparedObject {
    pub(crate) desired: Desired,
    /// Secret created with the object, shown once.
    pub(crate) secret: Option<PlaintextValue>,
}

impl From<Desired> for PreparedObject {
    fn from(desired: Desired) -> Self {
        let secret = None;
        Self { desired, secret }
    }
}

/// Converts a stored object to the message that callers see.
pub(crate) fn show<R: AdminResource>(
    id: &R::Id,
    stored: &VersionedObject<R>,
    published: &PublishedState,
) -> R::Proto {
    let mut message = stored.object.to_proto();
    if let Some(metadata) = R::metadata(&mut message) {
        metadata.resource_version = stored.mod_revision.to_string();
    }
    R::add_status(&mut message, id, published);
    message
}

/// Builds the message of a deleted object in a watch event. It contains only the name.
pub(crate) fn tombstone<R: AdminResource>(id: &R::Id) -> R::Proto {
    let mut message = R::Proto::default();
    *R::metadata(&mut message) = Some(pb::Metadata {
        name: R::format(id),
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
    let first = R::first(org);
    // `after` excludes its bound, so the smallest possible id is looked up separately.
    let least = first.as_ref().filter(|_| after.is_none());
    let least = least.and_then(|id| table.get(id).map(|stored| (id.clone(), stored)));
    let rest = table.after(after.or(first.as_ref()));
    let rest = rest.take_while(|(id, _)| R::org(id) == org);
    let rest = rest.map(|(id, stored)| (id.clone(), stored));
    least.into_iter().chain(rest).take(limit).collect()
}

/// Returns the smallest possible name in `org`: ids start with a letter.
fn first_name(org: &Slug) -> Option<ObjectName> {
    "a".parse().ok().map(|id| ObjectName::new(org.clone(), id))
}
