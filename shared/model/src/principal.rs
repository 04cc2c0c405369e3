//! Authenticated callers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Slug;

/// Subject that a token represents within its organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenSubject {
    /// The organization itself.
    Organization,
    /// A team.
    Team(Slug),
    /// A user.
    User(Slug),
}

/// Caller whose credentials have been verified. Requests of equal principals may share cached state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Organization of the caller.
    pub org: Slug,
    /// Subject within the organization.
    pub subject: TokenSubject,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            TokenSubject::Organization => write!(f, "{}", self.org),
            TokenSubject::Team(team) => write!(f, "{}/team:{team}", self.org),
            TokenSubject::User(user) => write!(f, "{}/user:{user}", self.org),
        }
    }
}
