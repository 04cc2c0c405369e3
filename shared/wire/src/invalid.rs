//! Why a message was refused: the field, as a path a caller can find, and what to do about it. One public error type
//! per model type, all of the same shape.

use std::fmt;

/// What every `Invalid…` error tells.
pub trait Invalid: std::error::Error + Send + Sync + 'static {
    /// The offending field, e.g. `spec.bindings[2].server`.
    fn field(&self) -> &str;
    /// What is wrong with it and what to do, a lower-case sentence.
    fn reason(&self) -> &str;
}

/// A field and what is wrong with it; the inside of every `Invalid…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path from the message's root.
    pub field: String,
    /// Lower-case sentence.
    pub reason: String,
}

impl Violation {
    /// `field` is wrong for this `reason`.
    pub fn new(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        let (field, reason) = (field.into(), reason.to_string());
        Self { field, reason }
    }

    /// The same, seen from the message that holds it in `parent`.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        let field = format!("{parent}.{}", self.field);
        let reason = self.reason;
        Self { field, reason }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Declares `Invalid…` errors.
macro_rules! invalid {
    ($($(#[$doc:meta])* $name:ident: $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error("invalid {what}: {0}", what = $what)]
        pub struct $name(pub $crate::invalid::Violation);

        impl $crate::invalid::Invalid for $name {
            fn field(&self) -> &str {
                &self.0.field
            }

            fn reason(&self) -> &str {
                &self.0.reason
            }
        }

        impl From<$crate::invalid::Violation> for $name {
            fn from(violation: $crate::invalid::Violation) -> Self {
                Self(violation)
            }
        }
    )*};
}

pub(crate) use invalid;
