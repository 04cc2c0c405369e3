//! From a bearer token to a caller. Unknown, expired and revoked tokens are refused alike; a gateway that a caller may
//! not enter and one that does not exist are one answer, so that nobody learns what there is.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use toolgate_model::{Principal, Timestamp, TokenHash};

use crate::{GatewayView, Grant, Refusal, TokenView, View, port::Revoked};

/// Longest bearer token that is looked at.
pub const TOKEN_LIMIT: usize = 512;

/// Hashes tokens under the deployment's token key.
#[derive(Clone)]
pub struct TokenHasher(Hmac<Sha256>);

/// Who is calling, verified, and what they may see and call.
#[derive(Debug, Clone)]
pub struct Caller {
    token: Arc<TokenView>,
}

impl TokenHasher {
    /// Under the keyring's token key.
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < 32 {
            return None;
        }
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// What a token is looked up by.
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

impl Caller {
    /// A caller by the token that was checked.
    pub fn new(token: Arc<TokenView>) -> Self {
        Self { token }
    }

    /// Who.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.token.principal
    }

    /// What they may see and call.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.token.grant
    }

    /// The gateway that was routed to, if there is one and this caller may enter it.
    pub fn enter<'a>(
        &self,
        routed: Option<&'a Arc<GatewayView>>,
    ) -> Result<&'a Arc<GatewayView>, Refusal> {
        let may = |gateway: &&Arc<GatewayView>| self.token.reaches(gateway);
        routed.filter(may).ok_or(Refusal::NoSuchPath)
    }

    /// The token that proved it.
    pub fn token(&self) -> &Arc<TokenView> {
        &self.token
    }
}

/// The token in an `Authorization` header's value: `Bearer`, one or more spaces, a token of visible ASCII.
pub fn bearer(value: &[u8]) -> Result<&str, Refusal> {
    let value = std::str::from_utf8(value).map_err(|_utf8| Refusal::Unauthenticated)?;
    let (scheme, rest) = value.split_once(' ').ok_or(Refusal::Unauthenticated)?;
    let token = rest.trim_start_matches(' ');
    let well_formed = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.len() <= TOKEN_LIMIT
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed {
        Ok(token)
    } else {
        Err(Refusal::Unauthenticated)
    }
}

/// Who holds the token of this hash, if it is good now.
pub fn authenticate(
    view: &View,
    hash: &TokenHash,
    revoked: &dyn Revoked,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let token = view.token(hash).ok_or(Refusal::Unauthenticated)?;
    let alive = token.expires.is_none_or(|expires| now < expires) && !revoked.is_revoked(hash);
    if alive {
        Ok(Caller::new(Arc::clone(token)))
    } else {
        Err(Refusal::Unauthenticated)
    }
}

#[cfg(test)]
mod tests;
