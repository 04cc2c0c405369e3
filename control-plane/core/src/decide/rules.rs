//! Rules of the kinds that operators write: what a kind checks besides its metadata, and what its objects depend on. A
//! kind without a rule of its own needs no file here.

mod credential;
mod gateway;
mod identity_provider;
mod organization;
mod server;
mod shared_domain;
mod token;

use toolgate_model::{
    ObjectId as _, Organization, Timestamp, Uid, for_each_kind, kind::DesiredObject,
};

use crate::{
    change::Change, command::OperatorObject, key::ObjectKey, kind::StateKind, limits,
    port::Revision, rejection::Rejection, state::StoreState,
};

use super::{change_builder::ChangeBuilder, desired};

/// Rules of one kind. Every rule has a default that requires nothing.
pub(super) trait KindRules: DesiredObject + StateKind + Clone + PartialEq {
    /// True if objects may depend on an object of the kind, so that it can only be deleted while none does.
    const IS_REFERENCED: bool = false;

    /// Validates the fields besides the metadata. `now` is zero for an update, which may keep a time that has passed.
    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        Ok(())
    }

    /// Returns the maximum number of objects and its name.
    fn count_limit() -> (&'static str, usize) {
        (
            "objects of one kind in an organization",
            limits::OBJECTS_PER_KIND,
        )
    }

    /// Checks a new object against the state, and adds the writes that accompany its creation under this uid.
    fn prepare_create(&self, _uid: Uid, _draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    /// Checks that the author of the command may change or delete the stored object.
    fn check_change(&self, _draft: &ChangeBuilder<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    /// Checks an update of `current` to this object against the state.
    fn check_update(
        &self,
        _current: &Self,
        _draft: &mut ChangeBuilder<'_>,
    ) -> Result<(), Rejection> {
        Ok(())
    }

    /// Guards what the new object, or its update of `current`, depends on besides its organization: no other control plane
    /// may change or delete it meanwhile.
    fn guard_references(&self, _current: Option<&Self>, _draft: &mut ChangeBuilder<'_>) {}

    /// Sets the values that a command cannot change: to the values of `current`, or to their initial values.
    fn keep_immutable(&mut self, _current: Option<&Self>) {}

    /// Returns the uid of the new object. No other object has it: two changes have different numbers in the version log,
    /// whose entries are guarded.
    fn new_uid(&self, draft: &ChangeBuilder<'_>) -> Uid {
        let number = draft.next_version_record(&Self::key(self.id().clone()));
        let state = draft.state;
        let version = (state.epoch(), state.revision(), number);
        Uid::of(&(Self::KIND.as_str(), self.id().parts(), version, draft.now()))
    }

    /// Returns the object with the identities of the objects that it names. `current` is the stored object.
    fn resolved(&self, _current: Option<&Self>, _state: &StoreState) -> Result<Self, Rejection> {
        Ok(self.clone())
    }

    /// Returns the objects that depend on the object `id`, which may be unreadable.
    fn dependents(_state: &StoreState, _id: &Self::Id) -> Vec<ObjectKey> {
        Vec::new()
    }

    /// Adds the deletions that accompany the deletion of the object.
    fn prepare_delete(_draft: &mut ChangeBuilder<'_>, _id: &Self::Id) {}

    /// Compiles the state after `change` and rejects new problems.
    fn dry_run(&self, _state: &StoreState, _change: &Change) -> Result<(), Rejection> {
        Ok(())
    }
}

/// Implements the rules of a kind without rules of its own; the kinds named here have a file.
macro_rules! default_rules {
    (Organization, $Object:ty) => {};
    (Credential, $Object:ty) => {};
    (Server, $Object:ty) => {};
    (Gateway, $Object:ty) => {};
    (IdentityProvider, $Object:ty) => {};
    (Token, $Object:ty) => {};
    ($Kind:ident, $Object:ty) => {
        impl KindRules for $Object {}
    };
}

macro_rules! define_dispatch {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed $observed:tt
    ) => {
        $(default_rules!($D, $DObject);)*

        pub(super) fn create(
            draft: ChangeBuilder<'_>,
            object: &OperatorObject,
        ) -> Result<Change, Rejection> {
            match object {
                $(OperatorObject::$D(it) => desired::create(draft, it),)*
            }
        }

        pub(super) fn update(
            draft: ChangeBuilder<'_>,
            object: &OperatorObject,
            expected: Revision,
        ) -> Result<Change, Rejection> {
            match object {
                $(OperatorObject::$D(it) => desired::update(draft, it, expected),)*
            }
        }

        pub(super) fn delete(
            draft: ChangeBuilder<'_>,
            key: &ObjectKey,
            expected: Option<Revision>,
        ) -> Result<Change, Rejection> {
            $(if let ObjectKey::$D(id) = key {
                return desired::delete::<$DObject>(draft, id, expected);
            })*
            let reason = "only what operators write can be deleted".to_owned();
            Err(Rejection::invalid("name", reason))
        }

        pub(super) fn dry_run(
            object: &OperatorObject,
            state: &StoreState,
            change: &Change,
        ) -> Result<(), Rejection> {
            match object {
                $(OperatorObject::$D(it) => it.dry_run(state, change),)*
            }
        }
    };
}

for_each_kind!(define_dispatch);

/// Returns the organization that must exist before the object; `None` for an organization.
pub(super) fn parent<K: KindRules>(id: &K::Id) -> Option<ObjectKey> {
    let (org, _) = id.parts();
    org.map(|org| Organization::key(org.clone()))
}
