//! An open secret on its way through: no `Debug` that tells, no `Clone`, overwritten when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that must not be kept, shown or logged.
pub struct OpenValue(Zeroizing<Vec<u8>>);

impl OpenValue {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// To use them; every call is a place worth a look.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for OpenValue {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for OpenValue {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for OpenValue {}

impl fmt::Debug for OpenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenValue(…)")
    }
}
