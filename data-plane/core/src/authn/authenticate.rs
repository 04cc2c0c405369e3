//! Authentication of bearer tokens. Unknown, expired and revoked tokens get the same refusal. A gateway that the
//! caller may not use and a gateway that does not exist also get the same refusal, so that a response does not reveal
//! which gateways exist.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use toolgate_model::{Timestamp, TokenHash};

use crate::{
    Caller, GatewayView, Refusal, View,
    authn::{
        caller::AuthnId,
        external,
        jwt::{JWT_LIMIT, is_jwt},
    },
    port::{RevocationList, SignatureVerifier},
};

/// Maximum length of an API token, in bytes.
pub const TOKEN_LIMIT: usize = 512;

/// HMAC-SHA-256 of tokens under the deployment's token key.
#[derive(Clone)]
pub struct TokenHasher(Hmac<Sha256>);

impl TokenHasher {
    /// Creates a hasher from the keyring's token key. Returns `None` if the key has fewer than 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < 32 {
            return None;
        }
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// Returns the hash by which a token is looked up.
    pub fn hash(&self, token: &str) -> TokenHash {
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        TokenHash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHasher(…)")
    }
}

/// Parses the token from the value of an `Authorization` header: `Bearer`, one or more spaces, and a token of visible
/// ASCII.
pub fn parse_bearer_token(value: &[u8]) -> Result<&str, Refusal> {
    let value = std::str::from_utf8(value).map_err(|_utf8| Refusal::Unauthenticated)?;
    let (scheme, rest) = value.split_once(' ').ok_or(Refusal::Unauthenticated)?;
    let token = rest.trim_start_matches(' ');
    let well_formed = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.len() <= limit(token)
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed {
        Ok(token)
    } else {
        Err(Refusal::Unauthenticated)
    }
}

/// Returns the maximum length of a token of its kind.
fn limit(token: &str) -> usize {
    match is_jwt(token) {
        true => JWT_LIMIT,
        false => TOKEN_LIMIT,
    }
}

/// Looks up the token with this hash and returns its caller if the token is neither expired nor revoked.
pub fn authenticate(
    view: &View,
    hash: &TokenHash,
    revoked: &dyn RevocationList,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let caller = view.caller(&AuthnId::from(*hash));
    let caller = caller.ok_or(Refusal::Unauthenticated)?;
    let authn = caller.authn();
    if authn.is_current(now) && !revoked.is_revoked(&authn.id) {
        Ok(caller.clone())
    } else {
        Err(Refusal::Unauthenticated)
    }
}

/// Verifies a token of an identity provider that the gateway admits. A path without a gateway is treated like a gateway
/// without identity providers. The result is valid while [`View::is_known`] is true of its proof.
pub fn authenticate_jwt(
    gateway: Option<&GatewayView>,
    token: &str,
    hash: &TokenHash,
    verifier: &dyn SignatureVerifier,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let trust = gateway.and_then(|gateway| gateway.trust.as_ref());
    external::authenticate(trust, token, hash, verifier, now)
}

#[cfg(test)]
mod tests;
