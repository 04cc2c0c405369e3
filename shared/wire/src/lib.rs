//! Conversion between proto messages and the domain types of `toolgate-model`. Messages are received through
//! [`ProtoConversion::from_proto`] (or the functions of [`push`], [`keys`] and [`record`]). Rejected messages yield one
//! `Invalid…` error per type, which names the field and a remedy, so every value of `toolgate-model` is a validated
//! one. Conversion to proto never fails. Every reader is total: any input yields a value or an error.

pub mod admin;
pub mod field;
pub mod invalid;
mod key_material;
pub mod keys;
pub mod limits;
pub mod push;
mod rate_limit;
pub mod record;
pub mod resource_name;
pub mod secret;
#[cfg(test)]
mod strategies;
mod tool_shape;

pub use invalid::InvalidMessage;
pub use resource_name::{InvalidResourceName, ResourceName};
pub use secret::PlaintextValue;

/// Header of a request of the admin API that reads: `latest` asks for a state that includes all changes acknowledged
/// before the request, by any control plane. Without it, a control plane answers from the state that it has, also while
/// its store does not answer.
pub const CONSISTENCY_HEADER: &str = "toolgate-consistency";

/// Domain type with a proto message.
pub trait ProtoConversion: Sized {
    /// Proto message.
    type Proto;
    /// Error of an invalid message.
    type Invalid: InvalidMessage;

    /// Validates and converts a message. All fields are read, including those written only by Toolgate (times, status).
    /// A caller that receives untrusted messages clears or overwrites these afterwards.
    fn from_proto(proto: &Self::Proto) -> Result<Self, Self::Invalid>;

    /// Converts to a message. `metadata.resource_version` stays empty, because it belongs to the store.
    fn to_proto(&self) -> Self::Proto;
}
