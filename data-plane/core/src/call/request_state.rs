//! The `requestState` of a modern server, as the client holds it: encrypted for the same request of the same principal to
//! the same server, for a limited time. The proxy stores nothing, so that any proxy opens it.

use std::time::Duration;

use toolgate_model::{Digest, Timestamp};

use crate::{
    ClientStateCipher,
    client_state::{NONCE_LEN, StateContext, StatePurpose},
};

/// Time that the client has to come back.
pub const REQUEST_STATE_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Maximum size in bytes of a state of a server, as the server wrote it. Its encrypted text is a third longer. The error
/// message names the limit of 48 KiB.
pub const STATE_LIMIT: usize = 48 * 1024 - 128;

/// Content of the `requestState` that the gateway encrypts for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedRequestState {
    /// Digest of the request: see [`CallPlan::digest`](crate::plan::CallPlan::digest).
    pub request: Digest,
    /// Time of expiry.
    pub until: Timestamp,
    /// State of the server: the JSON string as written.
    pub literal: Box<str>,
}

const FORMAT: u8 = 1;

impl EncryptedRequestState {
    /// Encrypts the state to the text that the client gets. Returns `None` if it is larger than [`STATE_LIMIT`].
    pub fn encrypt(
        &self,
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> Option<String> {
        let mut plain = Vec::with_capacity(1 + 32 + 8 + self.literal.len());
        plain.push(FORMAT);
        plain.extend_from_slice(&self.request.0);
        plain.extend_from_slice(&self.until.0.to_be_bytes());
        plain.extend_from_slice(self.literal.as_bytes());
        let fits = self.literal.len() <= STATE_LIMIT;
        fits.then(|| cipher.encrypt(StatePurpose::ServerState, context, nonce, &plain))
    }

    /// Decrypts a text that was encrypted for this gateway and principal.
    pub fn decrypt(
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        text: &str,
    ) -> Option<Self> {
        let plain = cipher.decrypt(StatePurpose::ServerState, context, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (request, rest) = rest.split_first_chunk()?;
        let (until, literal) = rest.split_first_chunk()?;
        if format != FORMAT {
            return None;
        }
        Some(Self {
            request: Digest(*request),
            until: Timestamp(u64::from_be_bytes(*until)),
            literal: std::str::from_utf8(literal).ok()?.into(),
        })
    }
}

#[cfg(test)]
mod tests;
