//! proto to model and back. Messages come in through [`Wire::from_proto`] (or the functions of [`push`], [`keys`] and
//! [`record`]) and are refused with one `Invalid…` error per type that names the field and what to do; a value of
//! `toolgate-model` that exists is therefore a checked one. The way out never fails. Every reader is total: whatever
//! the bytes, the answer is a value or an error.

pub mod admin;
pub mod field;
pub mod invalid;
pub mod keys;
pub mod limits;
pub mod push;
pub mod record;
pub mod resource_name;
pub mod secret;
mod shape;
#[cfg(test)]
mod strategies;

pub use invalid::Invalid;
pub use resource_name::{Collection, InvalidResourceName, ResourceName};
pub use secret::OpenValue;

/// A model type with its message.
pub trait Wire: Sized {
    /// The message.
    type Proto;
    /// Why a message is none.
    type Invalid: Invalid;

    /// Checks and converts. Every field is read, also those that only we write (times, status): a caller that takes
    /// messages from strangers clears or overwrites them afterwards.
    fn from_proto(proto: &Self::Proto) -> Result<Self, Self::Invalid>;

    /// Converts; `metadata.resource_version` stays empty, it is the store's.
    fn to_proto(&self) -> Self::Proto;
}
