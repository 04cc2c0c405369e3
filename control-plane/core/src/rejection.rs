//! Reasons for the rejection of a command.

use crate::{key::ObjectKey, port::Revision};

/// Reason for a rejection. The text is shown to the operator: what is wrong, in which field, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The object does not exist.
    #[error("there is no {}", .0.describe())]
    NotFound(ObjectKey),
    /// An object of this name exists already.
    #[error("{} exists already; update it, or choose another id", .0.describe())]
    AlreadyExists(ObjectKey),
    /// The object was changed since it was read.
    #[error(
        "{} has been changed since it was read (now at revision {current}); read it again and repeat the change",
        .key.describe()
    )]
    Stale {
        /// Key of the object.
        key: ObjectKey,
        /// Current revision of the object.
        current: Revision,
    },
    /// Other objects depend on the object.
    #[error("{} is used by {}; change or delete those first", .key.describe(), list(.by))]
    InUse {
        /// Key of the object.
        key: ObjectKey,
        /// First dependent objects.
        by: Vec<ObjectKey>,
    },
    /// The value of a field is invalid.
    #[error("{field}: {reason}")]
    Invalid {
        /// Field path in the API, e.g. `spec.bindings[2].server`.
        field: String,
        /// Description of the error and of a valid value.
        reason: String,
        /// Cause, if programs tell it apart.
        cause: Option<Box<FieldCause>>,
    },
    /// The author lacks a right that the value of a field requires.
    #[error(
        "{field}: {action} needs the right to {right}, which the author does not have; ask {holder}"
    )]
    MissingRight {
        /// Field path in the API.
        field: String,
        /// Description of the change.
        action: &'static str,
        /// Description of the right.
        right: &'static str,
        /// Description of the authors that have it.
        holder: &'static str,
    },
    /// A limit is exceeded.
    #[error("{field}: {found} is more than the limit of {limit} ({name})")]
    Limit {
        /// Field path in the API.
        field: String,
        /// Description of the limit.
        name: &'static str,
        /// Maximum.
        limit: usize,
        /// Requested value.
        found: usize,
    },
    /// The request id was used for a different request.
    #[error("request_id: `{0}` has been used for another request; use a fresh one")]
    RequestReused(String),
    /// The stored object cannot be decoded, so it cannot be changed.
    #[error("{} cannot be read ({reason}); delete it and create it again", .key.describe())]
    Quarantined {
        /// Key of the object.
        key: ObjectKey,
        /// Decoding error.
        reason: String,
    },
}

/// Cause of an invalid field, for programs. The text of the rejection describes it for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldCause {
    /// Name of the cause, e.g. `NO_SERVER`. Names are never changed.
    pub reason: &'static str,
    /// Object that the field names and that does not exist, if this is the cause.
    pub missing: Option<ObjectKey>,
    /// Facts by name, e.g. the URL of an endpoint.
    pub metadata: Vec<(&'static str, String)>,
}

impl FieldCause {
    /// Creates a cause without further facts.
    pub fn new(reason: &'static str) -> Self {
        Self {
            reason,
            missing: None,
            metadata: Vec::new(),
        }
    }

    /// Creates the cause that an object does not exist.
    pub fn missing(reason: &'static str, object: ObjectKey) -> Self {
        Self {
            missing: Some(object),
            ..Self::new(reason)
        }
    }
}

impl Rejection {
    /// Creates [`Self::Invalid`].
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
            cause: None,
        }
    }

    /// Creates [`Self::Invalid`] with a cause that programs tell apart.
    pub fn invalid_because(
        field: impl Into<String>,
        reason: impl Into<String>,
        cause: FieldCause,
    ) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
            cause: Some(Box::new(cause)),
        }
    }

    /// Returns the invalid field, if the rejection has one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. }
            | Self::MissingRight { field, .. }
            | Self::Limit { field, .. } => Some(field),
            Self::RequestReused(_) => Some("request_id"),
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Stale { .. }
            | Self::InUse { .. }
            | Self::Quarantined { .. } => None,
        }
    }
}

/// Maximum number of dependent objects that a message names.
pub(crate) const NAMED_USERS: usize = 5;

fn list(keys: &[ObjectKey]) -> String {
    let mut names: Vec<String> = keys
        .iter()
        .take(NAMED_USERS)
        .map(ObjectKey::describe)
        .collect();
    if keys.len() > NAMED_USERS {
        names.push(format!("{} more", keys.len() - NAMED_USERS));
    }
    names.join(", ")
}
