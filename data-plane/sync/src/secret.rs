//! Secret bytes for serialization into encrypted files, without copies in memory that is released.

use std::{fmt, io};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes that are zeroized on drop; without `Debug`.
#[derive(Clone, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct SecretBytes(pub(crate) Vec<u8>);

/// Length of most secrets.
const USUAL_LENGTH: usize = 4096;

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SecretBytes, A::Error> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(USUAL_LENGTH));
        while let Some(byte) = list.next_element()? {
            push(&mut bytes, byte);
        }
        Ok(SecretBytes(bytes.to_vec()))
    }
}

/// Adds a byte. A full vector is replaced and overwritten. A vector that grows by itself leaves its former memory as it is.
fn push(bytes: &mut Zeroizing<Vec<u8>>, byte: u8) {
    if bytes.len() == bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * bytes.len().max(USUAL_LENGTH)));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.push(byte);
}

/// Serializes a value that contains secrets into one allocation, which is zeroized on drop.
pub(crate) fn to_json(value: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut length = WrittenLength(0);
    serde_json::to_writer(&mut length, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value)?;
    Ok(bytes)
}

/// Writer that counts.
struct WrittenLength(usize);

impl io::Write for WrittenLength {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
