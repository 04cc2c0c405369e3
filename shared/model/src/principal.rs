//! Authenticated callers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ObjectName, Slug, TokenHash, Uid};

/// Subject that a token represents within its organization, as written by an operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenSubject {
    /// No team and no user: the token stands for itself.
    Organization,
    /// A team.
    Team(Slug),
    /// A user.
    User(Slug),
}

/// Subject of a principal within its organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PrincipalSubject {
    /// All callers together. Not a caller: the neutral principal of what they share, such as the session with a server
    /// that keeps no state between calls.
    AllCallers,
    /// Token that stands for no team and no user.
    Token {
        /// Id of the token.
        id: Slug,
        /// Identity of the token: one made again under the same id is another principal.
        uid: Uid,
    },
    /// A team.
    Team(Slug),
    /// A user.
    User(Slug),
    /// Subject of an identity provider.
    External {
        /// Id of the provider.
        provider: Slug,
        /// Identity of the provider: subjects of one made again under the same id are other principals.
        uid: Uid,
        /// Identity of the subject at the provider. Without control characters.
        subject: Box<str>,
    },
}

/// Caller whose credentials have been verified. Requests of equal principals may share cached state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Organization of the caller.
    pub org: Slug,
    /// Subject within the organization.
    pub subject: PrincipalSubject,
}

impl Principal {
    /// Returns the principal of a token.
    pub fn of_token(token: &ObjectName, hash: &TokenHash, subject: &TokenSubject) -> Self {
        let subject = match subject {
            TokenSubject::Organization => PrincipalSubject::Token {
                id: token.id.clone(),
                uid: Uid::of_token(token, hash),
            },
            TokenSubject::Team(team) => PrincipalSubject::Team(team.clone()),
            TokenSubject::User(user) => PrincipalSubject::User(user.clone()),
        };
        let org = token.org.clone();
        Self { org, subject }
    }

    /// Returns text that no other principal has, also after its name is used again: for the associated data of sealed
    /// texts. [`Display`](fmt::Display) is for people, and leaves the uid out.
    pub fn identity(&self) -> String {
        match &self.subject {
            PrincipalSubject::Token { uid, .. } | PrincipalSubject::External { uid, .. } => {
                format!("{self}@{uid}")
            }
            PrincipalSubject::AllCallers
            | PrincipalSubject::Team(_)
            | PrincipalSubject::User(_) => self.to_string(),
        }
    }

    /// Returns the neutral principal of an organization, for what all its callers share.
    pub fn all_callers(org: Slug) -> Self {
        let subject = PrincipalSubject::AllCallers;
        Self { org, subject }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let org = &self.org;
        match &self.subject {
            PrincipalSubject::AllCallers => write!(f, "{org}"),
            PrincipalSubject::Token { id, uid: _ } => write!(f, "{org}/token:{id}"),
            PrincipalSubject::Team(team) => write!(f, "{org}/team:{team}"),
            PrincipalSubject::User(user) => write!(f, "{org}/user:{user}"),
            PrincipalSubject::External {
                provider, subject, ..
            } => write!(f, "{org}/idp:{provider}:{subject}"),
        }
    }
}
