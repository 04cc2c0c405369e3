//! Bearer tokens: 256 random bits in base 62 behind a prefix, with a checksum so that a scanner or a typing error
//! is recognised without a look-up. Only the keyed hash of a token is ever stored.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use toolgate_model::TokenHash;
use toolgate_runtime::random;
use zeroize::Zeroizing;

/// Characters of the random part: 43 of 62 hold 256 bits.
const RANDOM: usize = 43;
/// Characters of the checksum.
const CHECK: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes tokens and hashes them. One key for a deployment.
pub struct Minter {
    prefix: String,
    key: Zeroizing<[u8; 32]>,
}

/// A token just made. It is shown once, to who asked for it.
pub struct MintedToken {
    /// The token itself.
    pub secret: Zeroizing<String>,
    /// What is stored of it.
    pub hash: TokenHash,
    /// Its first characters, to recognise it by.
    pub hint: String,
}

impl Minter {
    /// Tokens of the form `<prefix>_…`, hashed under `key`.
    pub fn new(prefix: &str, key: [u8; 32]) -> Self {
        Self {
            prefix: prefix.to_owned(),
            key: Zeroizing::new(key),
        }
    }

    /// The key of the hashes, for the proxies' keyring.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// A fresh token.
    pub fn mint(&self) -> MintedToken {
        let secret = fresh(&self.prefix);
        let hash = self.hash(&secret);
        let hint = secret.chars().take(self.prefix.len() + 5).collect();
        MintedToken { secret, hash, hint }
    }

    /// What a token is looked up by.
    pub fn hash(&self, token: &str) -> TokenHash {
        self.hash_bytes(token.as_bytes())
    }

    /// The same for bytes that may be no text.
    pub fn hash_bytes(&self, token: &[u8]) -> TokenHash {
        TokenHash(self.keyed(&[token]))
    }

    /// Keyed hash for another purpose. No purpose's hash is that of a token: those have no zero byte.
    pub fn hash_for(&self, purpose: &'static str, bytes: &[u8]) -> [u8; 32] {
        self.keyed(&[purpose.as_bytes(), &[0], bytes])
    }

    /// Whether `token` can be one of ours at all: prefix, length and checksum.
    pub fn is_well_formed(&self, token: &str) -> bool {
        let body = token
            .strip_prefix(self.prefix.as_str())
            .and_then(|rest| rest.strip_prefix('_'));
        let Some(body) = body.filter(|body| body.len() == RANDOM + CHECK && body.is_ascii()) else {
            return false;
        };
        let (random, check) = body.split_at(RANDOM);
        checksum(&self.prefix, random)
            .as_bytes()
            .ct_eq(check.as_bytes())
            .into()
    }

    /// A fresh secret for one proxy to join with. Its hash is that of the purpose `join`.
    pub fn mint_join(&self) -> MintedToken {
        let secret = fresh("join");
        let hash = TokenHash(self.hash_for("join", secret.as_bytes()));
        let hint = secret.chars().take("join_".len() + 4).collect();
        MintedToken { secret, hash, hint }
    }

    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else {
            // HMAC takes a key of any length; a hash that nothing matches is the closed answer.
            return random::bytes();
        };
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintedToken({}…)", self.hint)
    }
}

fn fresh(prefix: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 1 + RANDOM + CHECK));
    text.push_str(prefix);
    text.push('_');
    while text.len() < prefix.len() + 1 + RANDOM {
        let bytes = Zeroizing::new(random::bytes::<64>());
        // Bytes from 248 on would make the first digits likelier than the rest.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        for byte in fair.take(prefix.len() + 1 + RANDOM - text.len()) {
            text.push(digit(u64::from(*byte)));
        }
    }
    let check = checksum(prefix, &text[prefix.len() + 1..]);
    text.push_str(&check);
    text
}

fn checksum(prefix: &str, random: &str) -> String {
    let digest = Sha256::new()
        .chain_update(prefix)
        .chain_update(random)
        .finalize();
    digest
        .iter()
        .take(CHECK)
        .map(|byte| digit(u64::from(*byte)))
        .collect()
}

fn digit(number: u64) -> char {
    let at = usize::try_from(number % 62).unwrap_or_default();
    DIGITS.get(at).copied().map_or('0', char::from)
}

#[cfg(test)]
mod tests;
