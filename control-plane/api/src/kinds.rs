//! The kinds that operators write, each by one trait: where it lies, what it is called, how it becomes a message and
//! back. What is done with kinds is written once, in [`crate::crud`] and [`crate::watch`].

mod credential;
mod gateway;
mod organization;
mod server;
mod token;

use std::sync::Arc;

use prost::Message;
use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State, Stored};
use toolgate_model::{Name, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, OpenValue};

use crate::desk::{Desk, Published};

pub(crate) use credential::place;

/// A kind that operators write.
pub(crate) trait Resource: Send + Sync + 'static {
    /// Its message.
    type Proto: Message + Default + Clone + 'static;
    /// How it is found.
    type Id: Ord + Clone + Send + Sync + 'static;

    /// Its field in requests, e.g. `gateway`.
    const FIELD: &'static str;
    /// Full name of its message.
    const MESSAGE: &'static str;

    /// Where they lie.
    fn shelf(state: &State) -> &Shelf<Self::Id, Self>
    where
        Self: Sized;

    /// The first id that can belong to `org`.
    fn first(org: &Slug) -> Option<Self::Id>;

    /// Id from a full name.
    fn parse(name: &str) -> Result<Self::Id, InvalidResourceName>;

    /// Full name of an id.
    fn format(id: &Self::Id) -> String;

    /// The id `id` of organization `org`; an organization has no owner.
    fn within(org: Option<&Slug>, id: Slug) -> Option<Self::Id>;

    /// The organization that an id belongs to.
    fn org(id: &Self::Id) -> &Slug;

    /// The store's key of an id.
    fn key(id: &Self::Id) -> Key;

    /// The metadata in a message.
    fn metadata(message: &mut Self::Proto) -> &mut Option<pb::Metadata>;

    /// Whether only the system may write it.
    fn is_systems(&self) -> bool {
        false
    }

    /// As a message, without what only a publication knows.
    fn to_proto(&self) -> Self::Proto;

    /// Adds what it compiles to, for kinds that have a status.
    fn add_status(_message: &mut Self::Proto, _id: &Self::Id, _published: &Published) {}

    /// Checks a message and makes the object that shall be; `stored` is what is there now.
    fn prepare(
        desk: &dyn Desk,
        message: &Self::Proto,
        stored: Option<&Self>,
    ) -> Result<Prepared, Status>
    where
        Self: Sized;

    /// The object of a change.
    fn of_object(object: &Object) -> Option<&Arc<Self>>
    where
        Self: Sized;
}

/// An object that shall be.
pub(crate) struct Prepared {
    pub(crate) desired: Desired,
    /// A secret made with it, to be shown once.
    pub(crate) secret: Option<OpenValue>,
}

impl From<Desired> for Prepared {
    fn from(desired: Desired) -> Self {
        let secret = None;
        Self { desired, secret }
    }
}

/// A stored object as callers see it.
pub(crate) fn show<R: Resource>(id: &R::Id, stored: &Stored<R>, published: &Published) -> R::Proto {
    let mut message = stored.object.to_proto();
    if let Some(metadata) = R::metadata(&mut message) {
        metadata.resource_version = stored.modified.to_string();
    }
    R::add_status(&mut message, id, published);
    message
}

/// A deleted object as a watch tells it: its name.
pub(crate) fn tombstone<R: Resource>(id: &R::Id) -> R::Proto {
    let mut message = R::Proto::default();
    *R::metadata(&mut message) = Some(pb::Metadata {
        name: R::format(id),
        ..Default::default()
    });
    message
}

/// At most `limit` of the stored objects of `org`, in order, those after `after`.
pub(crate) fn of_org<'a, R: Resource>(
    state: &'a State,
    org: &Slug,
    after: Option<&R::Id>,
    limit: usize,
) -> Vec<(R::Id, &'a Stored<R>)> {
    let shelf = R::shelf(state);
    let first = R::first(org);
    // The least id possible comes before what is after it.
    let least = first.as_ref().filter(|_| after.is_none());
    let least = least.and_then(|id| shelf.get(id).map(|stored| (id.clone(), stored)));
    let rest = shelf.after(after.or(first.as_ref()));
    let rest = rest.take_while(|(id, _)| R::org(id) == org);
    let rest = rest.map(|(id, stored)| (id.clone(), stored));
    least.into_iter().chain(rest).take(limit).collect()
}

/// The least name within `org`: ids start with a letter.
fn first_name(org: &Slug) -> Option<Name> {
    "a".parse().ok().map(|id| Name::new(org.clone(), id))
}
