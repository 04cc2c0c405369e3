//! Identities of objects. A name can be used again after a deletion; a uid is never used again. What refers to an object
//! and can outlive it keeps the uid besides the name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, KindObject, ObjectId as _, ObjectName, Timestamp, TokenHash};

#[cfg(test)]
mod tests;

/// Identity of an object, in the form of a UUID of version 8 (RFC 9562). The zero value stands for none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid([u8; 16]);

/// Error of text that is no uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a uid: use the form 00000000-0000-8000-8000-000000000000")]
pub struct InvalidUid;

/// Positions of the hyphens in the text form.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uid {
    /// Returns the uid of a value that no two objects have in common.
    pub fn of<T: Serialize>(unique: &T) -> Self {
        let Digest(digest) = Digest::of(unique);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Returns the uid of a token. Derived from the hash, which proxies know too and every token has anew, so that all
    /// of them agree without being told.
    pub fn of_token(name: &ObjectName, hash: &TokenHash) -> Self {
        Self::of(&("token", name, &hash.0))
    }

    /// Returns the uid of an object whose record holds none, because an earlier build has written it. Equal on every
    /// control plane; an object that this build creates never has it.
    pub fn derived<K: KindObject>(id: &K::Id, created: Timestamp) -> Self {
        Self::of(&("without uid", K::KIND.as_str(), id.parts(), created))
    }

    /// Returns `true` if there is none.
    pub fn is_nil(&self) -> bool {
        *self == Self::default()
    }

    /// Returns a part of the uid as a number. Two uids that differ have different numbers, except by a rare accident.
    pub fn number(&self) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.0[8..]);
        u64::from_be_bytes(number)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = InvalidUid;

    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        let hyphens = text.match_indices('-').map(|(at, _)| at);
        if text.len() != 36 || !hyphens.eq(HYPHENS) {
            return Err(InvalidUid);
        }
        let mut digits = text.chars().filter(|c| *c != '-');
        let mut digit = || {
            let digit = digits.next().filter(|c| !c.is_ascii_uppercase());
            digit.and_then(|c| c.to_digit(16)).ok_or(InvalidUid)
        };
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = u8::try_from(digit()? * 16 + digit()?).map_err(|_range| InvalidUid)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Uid {
    type Error = InvalidUid;

    fn try_from(text: String) -> Result<Self, InvalidUid> {
        text.parse()
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.to_string()
    }
}
