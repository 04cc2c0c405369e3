//! Conversion of `admin.v1`. Kinds whose message contains all fields implement [`ProtoConversion`]. Credentials and
//! tokens are received as [`CredentialInput`] and [`TokenInput`], because their sealed value and hash are not part of
//! any message.

mod calls;
mod credential;
mod definitions;
mod gateway;
pub(crate) mod identity_provider;
mod meta;
mod organization;
mod probe_problem;
mod proxy;
mod server;
mod server_health;
mod token;
mod version;

pub use calls::{InvalidCallQuery, call_query, call_to_proto};
pub use credential::{
    CredentialFields, CredentialInput, FieldInput, InvalidCredential, credential,
    credential_to_proto,
};
pub use definitions::InvalidServerDefinitions;
pub(crate) use definitions::{era, era_to_proto, part, part_to_proto};
pub use gateway::InvalidGateway;
pub use identity_provider::{InvalidIdentityProvider, key_set};
pub use organization::InvalidOrganization;
pub use probe_problem::{ProbeResultFields, probe_problem, probe_result_fields};
pub use proxy::InvalidProxy;
pub use server::InvalidServer;
pub(crate) use server::{endpoint, endpoint_list, endpoint_url};
pub use server_health::health_seen_by;
pub use token::{InvalidToken, TokenInput, token, token_to_proto};
pub use version::{version, version_to_proto};

#[cfg(doc)]
use crate::ProtoConversion;

#[cfg(test)]
mod tests;
