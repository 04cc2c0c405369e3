//! Callers of identity providers whose tokens were verified. A verdict is found by the keyed hash of the token together with
//! everything that the gateway trusts, so that it is never used after a change; whether the token has expired is checked at
//! each use. The number of verdicts is limited: those used least are verified again.

use moka::sync::Cache;
use toolgate_data_core::{
    Caller, GatewayView, Refusal, authn::authenticate::authenticate_jwt, port::SignatureVerifier,
};
use toolgate_model::{Timestamp, TokenHash};

/// Maximum number of verdicts. Each takes less than 1 KiB.
const MAX_VERDICTS: u64 = 16_384;

/// Cache of verified callers.
pub(crate) struct VerifiedCallers {
    verdicts: Cache<[u8; 32], Caller>,
}

impl VerifiedCallers {
    pub(crate) fn new() -> Self {
        Self {
            verdicts: Cache::new(MAX_VERDICTS),
        }
    }

    /// Returns the caller of a token of an identity provider at the gateway.
    pub(crate) fn authenticate(
        &self,
        gateway: Option<&GatewayView>,
        token: &str,
        hash: &TokenHash,
        verifier: &dyn SignatureVerifier,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let key = gateway.and_then(|gateway| gateway.verdict_key(hash));
        let cached = key.as_ref().and_then(|key| self.verdicts.get(key));
        if let Some(caller) = cached.filter(|caller| caller.authn().is_current(now)) {
            return Ok(caller);
        }
        let caller = authenticate_jwt(gateway, token, hash, verifier, now)?;
        if let Some(key) = key {
            self.verdicts.insert(key, caller.clone());
        }
        Ok(caller)
    }
}

#[cfg(test)]
mod tests;
