//! What a modern server entrusts to its client until that comes back: its `requestState`. The client holds it sealed, good
//! for the same request of the same principal to the same server only, and not for ever. Nothing of it is kept here, so
//! that any proxy opens it.

use std::time::Duration;

use toolgate_model::{Digest, Timestamp};

use crate::{
    Sealer,
    seal::{NONCE_LEN, SealContext, SealPurpose},
};

/// How long a client may take to come back.
pub const LIFE: Duration = Duration::from_secs(60 * 60);

/// Longest state of a server that is passed on, as the server wrote it. Sealed it is a third longer; whoever asks for more
/// is told of these 48 KiB.
pub const STATE_LIMIT: usize = 48 * 1024 - 128;

/// What a `requestState` that we sealed for a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrusted {
    /// Of what request: see [`CallPlan::digest`](crate::plan::CallPlan::digest).
    pub request: Digest,
    /// From when on it is worth nothing.
    pub until: Timestamp,
    /// The server's own, the JSON string as it wrote it.
    pub literal: Box<str>,
}

const FORMAT: u8 = 1;

impl Entrusted {
    /// The text that the client gets; none if the server's is too long to be carried.
    pub fn seal(
        &self,
        sealer: &Sealer,
        binding: SealContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> Option<String> {
        let mut plain = Vec::with_capacity(1 + 32 + 8 + self.literal.len());
        plain.push(FORMAT);
        plain.extend_from_slice(&self.request.0);
        plain.extend_from_slice(&self.until.0.to_be_bytes());
        plain.extend_from_slice(self.literal.as_bytes());
        let fits = self.literal.len() <= STATE_LIMIT;
        fits.then(|| sealer.seal(SealPurpose::ServerState, binding, nonce, &plain))
    }

    /// What a text says, if we sealed it for this gateway and principal.
    pub fn open(sealer: &Sealer, binding: SealContext<'_>, text: &str) -> Option<Self> {
        let plain = sealer.open(SealPurpose::ServerState, binding, text)?;
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
