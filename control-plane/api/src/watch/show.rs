//! Objects of all kinds in the form of watch events.

use toolgate_control_core::{
    ObjectKey, ObjectKind, StateKind, VersionedObject, port::PublishedState,
};
use toolgate_model::{Timestamp, for_each_kind};
use toolgate_proto::admin::v1::{self as pb, watch_event::Object};

use super::ObjectFingerprint;
use crate::kinds::{self, AdminResource};

/// Kind whose objects are shown by watches.
pub(crate) trait WatchedKind: StateKind {
    /// Protobuf message of the kind.
    type Message;

    /// Converts a stored object to the message that callers see at `now`.
    fn show(
        id: &Self::Id,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        now: Timestamp,
    ) -> Self::Message;

    /// Builds the message of a deleted object. It contains only the name.
    fn tombstone(id: &Self::Id) -> Self::Message;

    /// Returns the fingerprint of an object: it changes when the message would change.
    fn fingerprint(
        _id: &Self::Id,
        stored: &VersionedObject<Self>,
        _published: &PublishedState,
        _now: Timestamp,
    ) -> ObjectFingerprint {
        ObjectFingerprint::Stored(stored.mod_revision)
    }
}

macro_rules! define_watch {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        $(
            impl WatchedKind for $DObject {
                type Message = pb::$DMessage;

                fn show(
                    id: &$DId,
                    stored: &VersionedObject<Self>,
                    published: &PublishedState,
                    now: Timestamp,
                ) -> pb::$DMessage {
                    kinds::show::<Self>(id, stored, published, now)
                }

                fn tombstone(id: &$DId) -> pb::$DMessage {
                    kinds::tombstone::<Self>(id)
                }

                fn fingerprint(
                    id: &$DId,
                    stored: &VersionedObject<Self>,
                    published: &PublishedState,
                    now: Timestamp,
                ) -> ObjectFingerprint {
                    <Self as AdminResource>::fingerprint(id, stored, published, now)
                }
            }
        )*

        /// Calls `each` with the key and the fingerprint of every object of `kind`.
        pub(super) fn fingerprints(
            kind: ObjectKind,
            published: &PublishedState,
            now: Timestamp,
            each: &mut dyn FnMut(ObjectKey, ObjectFingerprint),
        ) {
            match kind {
                $(ObjectKind::$D => fingerprints_of::<$DObject>(published, now, each),)*
                $(ObjectKind::$O => fingerprints_of::<$OObject>(published, now, each),)*
            }
        }

        /// Returns the fingerprint of the object at `key`, if it exists.
        pub(super) fn fingerprint(
            key: &ObjectKey,
            published: &PublishedState,
            now: Timestamp,
        ) -> Option<ObjectFingerprint> {
            $(if let ObjectKey::$D(id) = key {
                return fingerprint_of::<$DObject>(id, published, now);
            })*
            $(if let ObjectKey::$O(id) = key {
                return fingerprint_of::<$OObject>(id, published, now);
            })*
            None
        }

        /// Returns the object at `key`, if it exists.
        pub(super) fn object(
            key: &ObjectKey,
            published: &PublishedState,
            now: Timestamp,
        ) -> Option<Object> {
            $(if let ObjectKey::$D(id) = key {
                return render::<$DObject>(id, published, now).map(Object::$DMessage);
            })*
            $(if let ObjectKey::$O(id) = key {
                return render::<$OObject>(id, published, now).map(Object::$OMessage);
            })*
            None
        }

        /// Returns the object of a deletion event. It contains only the name.
        pub(super) fn tombstone(key: &ObjectKey) -> Option<Object> {
            $(if let ObjectKey::$D(id) = key {
                return Some(Object::$DMessage(<$DObject as WatchedKind>::tombstone(id)));
            })*
            $(if let ObjectKey::$O(id) = key {
                return Some(Object::$OMessage(<$OObject as WatchedKind>::tombstone(id)));
            })*
            None
        }
    };
}

for_each_kind!(define_watch);

fn fingerprints_of<K: WatchedKind>(
    published: &PublishedState,
    now: Timestamp,
    each: &mut dyn FnMut(ObjectKey, ObjectFingerprint),
) {
    for (id, stored) in K::table(&published.state).iter() {
        each(
            K::key(id.clone()),
            K::fingerprint(id, stored, published, now),
        );
    }
}

fn fingerprint_of<K: WatchedKind>(
    id: &K::Id,
    published: &PublishedState,
    now: Timestamp,
) -> Option<ObjectFingerprint> {
    let stored = K::table(&published.state).get(id)?;
    Some(K::fingerprint(id, stored, published, now))
}

fn render<K: WatchedKind>(
    id: &K::Id,
    published: &PublishedState,
    now: Timestamp,
) -> Option<K::Message> {
    let stored = K::table(&published.state).get(id)?;
    Some(K::show(id, stored, published, now))
}
