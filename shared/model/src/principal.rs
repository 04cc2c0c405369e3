//! Who is calling, verified.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Slug;

/// Whom a token stands for, within its organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// The organization itself.
    Organization,
    /// A team.
    Team(Slug),
    /// A user.
    User(Slug),
}

/// A caller whose proof has been checked. Two requests of equal principals may share what is kept for one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The organization.
    pub org: Slug,
    /// Whom within it.
    pub subject: Subject,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Organization => write!(f, "{}", self.org),
            Subject::Team(team) => write!(f, "{}/team:{team}", self.org),
            Subject::User(user) => write!(f, "{}/user:{user}", self.org),
        }
    }
}
