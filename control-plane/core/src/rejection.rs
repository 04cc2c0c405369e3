//! Why a command is refused: what is wrong, where, and what to do about it.

use crate::{key::Key, port::Revision};

/// A refusal. Its text is meant for the operator who sent the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such object.
    #[error("there is no {}", .0.describe())]
    NotFound(Key),
    /// An object of this name is there already.
    #[error("{} exists already; update it, or choose another id", .0.describe())]
    AlreadyExists(Key),
    /// Written by somebody else since it was read.
    #[error(
        "{} has been changed since it was read (now at revision {current}); read it again and repeat the change",
        .key.describe()
    )]
    Stale {
        /// Which.
        key: Key,
        /// Its revision now.
        current: Revision,
    },
    /// Others need it.
    #[error("{} is used by {}; change or delete those first", .key.describe(), list(.by))]
    InUse {
        /// Which.
        key: Key,
        /// Who needs it, the first few.
        by: Vec<Key>,
    },
    /// A field cannot be as it is.
    #[error("{field}: {reason}")]
    Invalid {
        /// Path as in the API, e.g. `spec.bindings[2].server`.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// More than there may be.
    #[error("{field}: {found} is more than the limit of {limit} ({name})")]
    Limit {
        /// Path as in the API.
        field: String,
        /// Name of the limit, in words.
        name: &'static str,
        /// The limit.
        limit: usize,
        /// What was asked for.
        found: usize,
    },
    /// This request id did something else before.
    #[error("request_id: `{0}` has been used for another request; use a fresh one")]
    RequestReused(String),
    /// The stored object cannot be read, so it cannot be changed.
    #[error("{} cannot be read ({reason}); delete it and create it again", .key.describe())]
    Quarantined {
        /// Which.
        key: Key,
        /// Why.
        reason: String,
    },
}

impl Rejection {
    /// A field that cannot be as it is.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The offending field, where there is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } | Self::Limit { field, .. } => Some(field),
            Self::RequestReused(_) => Some("request_id"),
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Stale { .. }
            | Self::InUse { .. }
            | Self::Quarantined { .. } => None,
        }
    }
}

/// At most this many users are named.
pub(crate) const NAMED_USERS: usize = 5;

fn list(keys: &[Key]) -> String {
    let mut names: Vec<String> = keys.iter().take(NAMED_USERS).map(Key::describe).collect();
    if keys.len() > NAMED_USERS {
        names.push(format!("{} more", keys.len() - NAMED_USERS));
    }
    names.join(", ")
}
