//! `admin.v1`: what operators write and read. Desired kinds with all their fields ours implement [`Wire`]; a
//! credential or token that comes in is a [`CredentialInput`] or [`TokenInput`], because sealed value and hash are
//! not in any message.

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
