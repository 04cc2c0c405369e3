//! Secret in plaintext while it is processed: its `Debug` prints no content, it has no `Clone`, and it is overwritten
//! when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes that must not be stored, displayed or logged.
pub struct PlaintextValue(Zeroizing<Vec<u8>>);

impl PlaintextValue {
    /// Wraps the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes. Every call deserves a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for PlaintextValue {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for PlaintextValue {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for PlaintextValue {}

impl fmt::Debug for PlaintextValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaintextValue(…)")
    }
}
