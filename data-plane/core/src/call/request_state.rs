//! The `requestState` of a modern server, as the client holds it: sealed for the same request of the same principal to
//! the same server, for a limited time. The proxy stores nothing, so that any proxy opens it.

use std::time::Duration;

use toolgate_model::{Digest, Timestamp};

use crate::{
    ClientStateSealer,
    seal::{NONCE_LEN, SealContext, SealPurpose},
};

/// Time that the client has to come back.
pub const REQUEST_STATE_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Maximum size in bytes of a state of a server, as the server wrote it. Its sealed text is a third longer. The error
/// message names the limit of 48 KiB.
pub const STATE_LIMIT: usize = 48 * 1024 - 128;

/// Content of the `requestState` that the gateway seals for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRequestState {
    /// Digest of the request: see [`CallPlan::digest`](crate::plan::CallPlan::digest).
    pub request: Digest,
    /// Time of expiry.
    pub until: Timestamp,
    /// State of the server: the JSON string as written.
    pub literal: Box<str>,
}

const FORMAT: u8 = 1;

impl SealedRequestState {
    /// Seals the state to the text that the client gets. Returns `None` if it is larger than [`STATE_LIMIT`].
    pub fn seal(
        &self,
        sealer: &ClientStateSealer,
        context: SealContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> Option<String> {
        let mut plain = Vec::with_capacity(1 + 32 + 8 + self.literal.len());
        plain.push(FORMAT);
        plain.extend_from_slice(&self.request.0);
        plain.extend_from_slice(&self.until.0.to_be_bytes());
        plain.extend_from_slice(self.literal.as_bytes());
        let fits = self.literal.len() <= STATE_LIMIT;
        fits.then(|| sealer.seal(SealPurpose::ServerState, context, nonce, &plain))
    }

    /// Opens a text that was sealed for this gateway and principal.
    pub fn open(sealer: &ClientStateSealer, context: SealContext<'_>, text: &str) -> Option<Self> {
        let plain = sealer.open(SealPurpose::ServerState, context, text)?;
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
