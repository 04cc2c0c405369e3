//! Conversion of `admin.v1`. Kinds whose message contains all fields implement [`ProtoConversion`]. Credentials and
//! tokens are received as [`CredentialInput`] and [`TokenInput`], because their sealed value and hash are not part of
//! any message.

mod catalogue;
mod credential;
mod gateway;
mod meta;
mod organization;
mod proxy;
mod server;
mod token;
mod version;

pub use catalogue::InvalidCatalogue;
pub(crate) use catalogue::{era, era_to_proto};
pub use credential::{CredentialInput, InvalidCredential, credential, credential_to_proto};
pub use gateway::InvalidGateway;
pub use organization::InvalidOrganization;
pub use proxy::InvalidProxy;
pub use server::InvalidServer;
pub(crate) use server::endpoint;
pub use token::{InvalidToken, TokenInput, token, token_to_proto};
pub use version::{version, version_to_proto};

#[cfg(doc)]
use crate::Wire;

#[cfg(test)]
mod tests;
