//! Errors of rejected messages: the path of the field and a remedy. Each model type has its own public error type; all
//! have the same shape.

use std::fmt;

/// Common interface of the `Invalid…` errors.
pub trait InvalidMessage: std::error::Error + Send + Sync + 'static {
    /// Path of the offending field, e.g. `spec.bindings[2].server`.
    fn field(&self) -> &str;
    /// Problem and remedy, a lower-case sentence.
    fn reason(&self) -> &str;
}

/// Field and its problem; the content of every `Invalid…` error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path from the root of the message.
    pub field: String,
    /// Problem and remedy, a lower-case sentence.
    pub reason: String,
}

impl FieldViolation {
    /// Creates a violation of `field`.
    pub fn new(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        let (field, reason) = (field.into(), reason.to_string());
        Self { field, reason }
    }

    /// Returns the same violation relative to the message that contains it in `parent`.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        let field = format!("{parent}.{}", self.field);
        let reason = self.reason;
        Self { field, reason }
    }
}

impl fmt::Display for FieldViolation {
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
        pub struct $name(pub $crate::invalid::FieldViolation);

        impl $crate::invalid::InvalidMessage for $name {
            fn field(&self) -> &str {
                &self.0.field
            }

            fn reason(&self) -> &str {
                &self.0.reason
            }
        }

        impl From<$crate::invalid::FieldViolation> for $name {
            fn from(violation: $crate::invalid::FieldViolation) -> Self {
                Self(violation)
            }
        }
    )*};
}

pub(crate) use invalid;
