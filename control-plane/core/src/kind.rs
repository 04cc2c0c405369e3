//! Access to the objects of one kind, for code that is the same for all kinds: their table in the state, their key, and
//! their form among all stored objects.

use std::sync::Arc;

use toolgate_model::{KindObject, for_each_kind};

use crate::{key::ObjectKey, object::ControlObject, object_table::ObjectTable, state::StoreState};

/// Kind with a table in the state.
pub trait StateKind: KindObject {
    /// Returns the objects of the kind.
    fn table(state: &StoreState) -> &ObjectTable<Self::Id, Self>;

    /// Returns the store key of an object.
    fn key(id: Self::Id) -> ObjectKey;

    /// Converts to an object of the store.
    fn to_object(self: Arc<Self>) -> ControlObject;

    /// Returns the object if it is of this kind.
    fn of_object(object: &ControlObject) -> Option<&Arc<Self>>;
}

macro_rules! define_state_kinds {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        $(define_state_kinds!(@kind $D, $DObject, $DId, $dtable);)*
        $(define_state_kinds!(@kind $O, $OObject, $OId, $otable);)*
    };
    (@kind $Kind:ident, $Object:ty, $Id:ty, $table:ident) => {
        impl StateKind for $Object {
            fn table(state: &StoreState) -> &ObjectTable<$Id, Self> {
                &state.$table
            }

            fn key(id: $Id) -> ObjectKey {
                ObjectKey::$Kind(id)
            }

            fn to_object(self: Arc<Self>) -> ControlObject {
                ControlObject::$Kind(self)
            }

            fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
                if let ControlObject::$Kind(it) = object {
                    Some(it)
                } else {
                    None
                }
            }
        }
    };
}

for_each_kind!(define_state_kinds);
