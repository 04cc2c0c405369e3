//! Secrets at rest: only ever a keyed hash or sealed bytes. The open form has no type here, so it cannot be stored.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Keyed hash (HMAC-SHA-256) of a bearer token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

/// A sealed value: a data key wrapped by the key-encryption key `key_id`, and the value under that data key.
/// Bound (AAD) to organization, kind, id, field and key id, so that it opens nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBlob {
    /// Which key-encryption key wraps the data key.
    pub key_id: String,
    /// Nonce and wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// Nonce and ciphertext.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl fmt::Debug for SealedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBlob(key {})", self.key_id)
    }
}
