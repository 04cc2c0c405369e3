//! Secrets at rest, stored only as keyed hash or sealed bytes. The plaintext has no type in this crate, so it cannot be
//! stored.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Keyed hash (HMAC-SHA-256) of a bearer token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

/// Sealed value: a data key wrapped by the key-encryption key `key_id`, and the value encrypted with the data key.
/// Bound (AAD) to organization, kind, id, field and key id, so that it cannot be opened in any other context.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBlob {
    /// Id of the key-encryption key that wraps the data key.
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
