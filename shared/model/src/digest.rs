//! Digests that identify resources in deltas and tool definitions.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 of the canonical bytes of a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the digest of the JSON form of a value. The form is deterministic because published types contain
    /// ordered maps only.
    pub fn of<T: Serialize>(value: &T) -> Self {
        let mut hasher = HashWriter::new();
        // Hashing cannot fail, and published types serialize without error. A partial digest would only cause a
        // resource to be sent once more.
        let _infallible = serde_json::to_writer(&mut hasher, value);
        Self(hasher.finish())
    }

    /// Returns the digest in lower-case hexadecimal.
    pub fn to_hex(self) -> String {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        nibbles
            .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
            .collect()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Size at which bytes are hashed together. Serialization writes a few bytes at a time.
const HASHED_TOGETHER: usize = 4096;

/// Writer that hashes the written bytes.
struct HashWriter {
    hasher: Sha256,
    /// Bytes that are not hashed yet.
    pending: Vec<u8>,
}

impl HashWriter {
    fn new() -> Self {
        Self {
            hasher: Sha256::new(),
            pending: Vec::new(),
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.hasher.update(&self.pending);
        self.hasher.finalize().into()
    }
}

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.pending.len() + bytes.len() > HASHED_TOGETHER {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        if bytes.len() > HASHED_TOGETHER {
            self.hasher.update(bytes);
        } else {
            self.pending.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
