//! Authorization at the control plane. [`is_allowed`] decides; every RPC declares the [`AccessRight`] that it
//! requires.
//!
//! ```text
//!            own organization                                   whole deployment
//! viewer     read all objects
//! editor     + write gateways and servers, probe
//! admin      + write credentials and tokens, update the organization
//! system     everything, in every organization                  + organizations, proxies, versions, join tokens
//! proxy                                                          push, credentials, keyring, renewal
//! anonymous                                                      join (the vault checks the secret)
//! ```

use toolgate_model::{AdminRole, Slug};

use crate::key::Kind;

#[cfg(test)]
mod tests;

/// Permission to perform one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Get, list and watch objects of a kind.
    Read(Kind),
    /// Create, update and delete objects of a kind.
    Write(Kind),
    /// Create or delete an organization.
    FoundOrganization,
    /// Probe a server on demand.
    Probe,
    /// Read the version log.
    ReadVersions,
    /// Create a join token.
    CreateJoinToken,
    /// Join the fleet.
    Join,
    /// Renew a proxy's certificate.
    RenewCertificate,
    /// Receive the configuration and revocations.
    Push,
    /// Resolve credentials.
    ResolveCredential,
    /// Read the keys shared by all proxies.
    ReadKeyring,
}

/// Authenticated caller of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The deployment itself: the bootstrap token, or internal calls.
    System,
    /// Token with a role.
    Token {
        /// Organization of the token.
        org: Slug,
        /// Role in the organization.
        role: AdminRole,
        /// Token id.
        name: Slug,
    },
    /// Proxy, identified by its certificate, or by its own statement on an in-memory connection.
    Proxy {
        /// Proxy id.
        id: Slug,
    },
    /// Unauthenticated caller.
    Anonymous,
}

/// Returns `true` if `identity` has `right` in organization `org`; `None` means the whole deployment.
pub fn may(identity: &Identity, right: Right, org: Option<&Slug>) -> bool {
    match identity {
        Identity::System => !for_proxies(right) && right != Right::Join,
        Identity::Token { org: own, role, .. } => {
            org == Some(own) && least_role(right).is_some_and(|least| *role >= least)
        }
        Identity::Proxy { .. } => for_proxies(right),
        Identity::Anonymous => right == Right::Join,
    }
}

/// Returns the lowest role that has `right` in its own organization; `None` if no role has it.
fn least_role(right: Right) -> Option<AdminRole> {
    match right {
        Right::Read(Kind::Proxy) => None,
        Right::Read(
            Kind::Organization
            | Kind::Gateway
            | Kind::Server
            | Kind::Credential
            | Kind::Token
            | Kind::Catalogue,
        ) => Some(AdminRole::Viewer),
        Right::Write(Kind::Gateway | Kind::Server) | Right::Probe => Some(AdminRole::Editor),
        Right::Write(Kind::Organization | Kind::Credential | Kind::Token) => Some(AdminRole::Admin),
        Right::Write(Kind::Catalogue | Kind::Proxy)
        | Right::FoundOrganization
        | Right::ReadVersions
        | Right::CreateJoinToken
        | Right::Join
        | Right::RenewCertificate
        | Right::Push
        | Right::ResolveCredential
        | Right::ReadKeyring => None,
    }
}

/// Returns `true` for rights that only proxies have. The system token does not have them either, so it cannot
/// resolve credentials.
fn for_proxies(right: Right) -> bool {
    match right {
        Right::RenewCertificate | Right::Push | Right::ResolveCredential | Right::ReadKeyring => {
            true
        }
        Right::Read(_)
        | Right::Write(_)
        | Right::FoundOrganization
        | Right::Probe
        | Right::ReadVersions
        | Right::CreateJoinToken
        | Right::Join => false,
    }
}

impl Identity {
    /// Returns the author name used in the version log.
    pub fn author(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Token { org, name, .. } => format!("organizations/{org}/tokens/{name}"),
            Self::Proxy { id } => format!("proxies/{id}"),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}
