//! Authorization at the control plane. [`is_allowed`] decides; every RPC declares the [`AccessRight`] that it
//! requires.
//!
//! ```text
//!            own organization                                   whole deployment
//! viewer     read all objects
//! editor     + write gateways and servers, probe, read calls
//! admin      + write credentials, tokens and identity providers, use credentials in servers, update the organization
//! system     everything, in every organization                  + organizations, proxies, versions, join tokens
//! proxy                                                          push, credentials, keyring, renewal
//! anonymous                                                      join (the vault checks the secret)
//! ```

use toolgate_model::{AdminRole, Slug};

use crate::key::ObjectKind;

#[cfg(test)]
mod tests;

/// Permission to perform one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessRight {
    /// Get, list and watch objects of a kind.
    Read(ObjectKind),
    /// Create, update and delete objects of a kind.
    Write(ObjectKind),
    /// Create or delete an organization.
    CreateOrganization,
    /// Probe a server on demand.
    Probe,
    /// Choose where the value of a credential is sent: change the credential of a server, or the endpoints of a server
    /// that has one.
    UseCredential,
    /// Read the records of requests through a gateway, which tell what each user calls.
    ReadCalls,
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
pub enum CallerIdentity {
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
pub fn is_allowed(identity: &CallerIdentity, right: AccessRight, org: Option<&Slug>) -> bool {
    match identity {
        CallerIdentity::System => !is_proxy_only(right) && right != AccessRight::Join,
        CallerIdentity::Token { org: own, role, .. } => {
            org == Some(own) && least_role(right).is_some_and(|least| *role >= least)
        }
        CallerIdentity::Proxy { .. } => is_proxy_only(right),
        CallerIdentity::Anonymous => right == AccessRight::Join,
    }
}

/// Returns the lowest role that has `right` in its own organization; `None` if no role has it.
fn least_role(right: AccessRight) -> Option<AdminRole> {
    let least = match right {
        AccessRight::Read(kind) => kind.read_role(),
        AccessRight::Write(kind) => kind.write_role(),
        AccessRight::Probe | AccessRight::ReadCalls => AdminRole::Editor,
        AccessRight::UseCredential => AdminRole::Admin,
        AccessRight::CreateOrganization
        | AccessRight::ReadVersions
        | AccessRight::CreateJoinToken
        | AccessRight::Join
        | AccessRight::RenewCertificate
        | AccessRight::Push
        | AccessRight::ResolveCredential
        | AccessRight::ReadKeyring => AdminRole::None,
    };
    (least != AdminRole::None).then_some(least)
}

/// Returns `true` for rights that only proxies have. The system token does not have them either, so it cannot
/// resolve credentials.
fn is_proxy_only(right: AccessRight) -> bool {
    match right {
        AccessRight::RenewCertificate
        | AccessRight::Push
        | AccessRight::ResolveCredential
        | AccessRight::ReadKeyring => true,
        AccessRight::Read(_)
        | AccessRight::Write(_)
        | AccessRight::CreateOrganization
        | AccessRight::Probe
        | AccessRight::UseCredential
        | AccessRight::ReadCalls
        | AccessRight::ReadVersions
        | AccessRight::CreateJoinToken
        | AccessRight::Join => false,
    }
}

impl AccessRight {
    /// Returns `true` unless the right is only to read.
    pub fn is_write(self) -> bool {
        match self {
            Self::Read(_)
            | Self::ReadCalls
            | Self::ReadVersions
            | Self::Push
            | Self::ResolveCredential
            | Self::ReadKeyring => false,
            Self::Write(_)
            | Self::UseCredential
            | Self::CreateOrganization
            | Self::Probe
            | Self::CreateJoinToken
            | Self::Join
            | Self::RenewCertificate => true,
        }
    }
}

impl CallerIdentity {
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
