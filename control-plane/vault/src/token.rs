//! Bearer tokens: a prefix and 256 random bits in base 62, with a checksum that lets secret scanners and clients
//! detect invalid tokens without a lookup. Only the keyed hash of a token is stored.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use toolgate_model::TokenHash;
use toolgate_runtime::random;
use zeroize::Zeroizing;

/// Length of the random part: 43 base-62 digits hold 256 bits.
const RANDOM_CHARS: usize = 43;
/// Length of the checksum.
const CHECKSUM_CHARS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Creates and hashes tokens with the hash key of the deployment.
pub struct TokenMinter {
    prefix: String,
    key: Zeroizing<[u8; 32]>,
}

/// Newly created token. It is shown once, to the caller that requested it.
pub struct MintedToken {
    /// Secret token.
    pub secret: Zeroizing<String>,
    /// Keyed hash, which is stored.
    pub hash: TokenHash,
    /// First characters of the token, by which users recognize it.
    pub hint: String,
}

impl TokenMinter {
    /// Creates a minter of tokens of the form `<prefix>_…`, hashed with `key`.
    pub fn new(prefix: &str, key: [u8; 32]) -> Self {
        Self {
            prefix: prefix.to_owned(),
            key: Zeroizing::new(key),
        }
    }

    /// Returns the hash key, for the proxies' keyring.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Creates a token.
    pub fn mint(&self) -> MintedToken {
        let secret = random_token(&self.prefix);
        let hash = self.hash(&secret);
        let hint = secret.chars().take(self.prefix.len() + 5).collect();
        MintedToken { secret, hash, hint }
    }

    /// Returns the keyed hash by which a token is looked up.
    pub fn hash(&self, token: &str) -> TokenHash {
        self.hash_bytes(token.as_bytes())
    }

    /// Returns the keyed hash of a token that may not be valid UTF-8.
    pub fn hash_bytes(&self, token: &[u8]) -> TokenHash {
        TokenHash(self.hmac_sha256(&[token]))
    }

    /// Returns a keyed hash for another purpose. It never equals the hash of a token, because a token contains no
    /// zero byte.
    pub fn hash_for(&self, purpose: &'static str, bytes: &[u8]) -> [u8; 32] {
        self.hmac_sha256(&[purpose.as_bytes(), &[0], bytes])
    }

    /// Returns `true` if prefix, length and checksum of `token` are valid.
    pub fn is_well_formed(&self, token: &str) -> bool {
        let body = token
            .strip_prefix(self.prefix.as_str())
            .and_then(|rest| rest.strip_prefix('_'));
        let Some(body) =
            body.filter(|body| body.len() == RANDOM_CHARS + CHECKSUM_CHARS && body.is_ascii())
        else {
            return false;
        };
        let (random, check) = body.split_at(RANDOM_CHARS);
        checksum(&self.prefix, random)
            .as_bytes()
            .ct_eq(check.as_bytes())
            .into()
    }

    /// Creates a join token, the secret with which one proxy joins. Its hash has the purpose `join`.
    pub fn mint_join(&self) -> MintedToken {
        let secret = random_token("join");
        let hash = TokenHash(self.hash_for("join", secret.as_bytes()));
        let hint = secret.chars().take("join_".len() + 4).collect();
        MintedToken { secret, hash, hint }
    }

    fn hmac_sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else {
            // HMAC accepts keys of any length. If it fails, a hash that matches nothing denies access.
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

fn random_token(prefix: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(
        prefix.len() + 1 + RANDOM_CHARS + CHECKSUM_CHARS,
    ));
    text.push_str(prefix);
    text.push('_');
    while text.len() < prefix.len() + 1 + RANDOM_CHARS {
        let bytes = Zeroizing::new(random::bytes::<64>());
        // Bytes from 248 on are skipped, because they would make the first digits more likely than the others.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        for byte in fair.take(prefix.len() + 1 + RANDOM_CHARS - text.len()) {
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
        .take(CHECKSUM_CHARS)
        .map(|byte| digit(u64::from(*byte)))
        .collect()
}

fn digit(number: u64) -> char {
    let at = usize::try_from(number % 62).unwrap_or_default();
    DIGITS.get(at).copied().map_or('0', char::from)
}

#[cfg(test)]
mod tests;
