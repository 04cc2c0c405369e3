//! Who may do what at the control plane. One function decides; every RPC names the [`Right`] it needs.
//!
//! ```text
//!            own organization                                   whole deployment
//! viewer     read everything in it
//! editor     + write gateways and servers, probe
//! admin      + write credentials and tokens, update it
//! system     everything, in every organization                  + organizations, proxies, versions, join tokens
//! proxy                                                          push, credentials, keyring, renewal
//! anonymous                                                      join (its secret is checked by the vault)
//! ```

use toolgate_model::{AdminRole, Slug};

use crate::key::Kind;

#[cfg(test)]
mod tests;

/// Leave to do one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Get, list and watch objects of a kind.
    Read(Kind),
    /// Update and delete objects of a kind, and create them.
    Write(Kind),
    /// Create or delete an organization.
    FoundOrganization,
    /// Probe a server now.
    Probe,
    /// See the version log.
    ReadVersions,
    /// Give leave to join.
    CreateJoinToken,
    /// Join the fleet.
    Join,
    /// Renew a proxy's certificate.
    RenewCertificate,
    /// Receive the configuration and revocations.
    Push,
    /// Resolve credentials.
    ResolveCredential,
    /// Get the keys that all proxies share.
    ReadKeyring,
}

/// Who is calling the control plane, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The deployment itself: the bootstrap token, or code of ours.
    System,
    /// A token with a role.
    Token {
        /// Its organization.
        org: Slug,
        /// Its role there.
        role: AdminRole,
        /// Its id.
        name: Slug,
    },
    /// A proxy, by its certificate (or, in memory, by its word).
    Proxy {
        /// Its id.
        id: Slug,
    },
    /// Nobody in particular.
    Anonymous,
}

/// Whether `identity` has `right` in organization `org`; none means in the whole deployment.
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

/// The least role that has `right` in its own organization; none if no role has.
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

/// Rights that proxies have, and only they: not even the system token resolves a credential.
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
    /// As in the version log.
    pub fn author(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Token { org, name, .. } => format!("organizations/{org}/tokens/{name}"),
            Self::Proxy { id } => format!("proxies/{id}"),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}
