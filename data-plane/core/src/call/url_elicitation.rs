//! URL elicitations ahead of a call: a legacy server did not run the call, because the user has to visit URLs first.
//! The modern client holds all state encrypted, so that any proxy sends the call when the client comes back.

use std::time::Duration;

use toolgate_mcp::object;
use toolgate_model::{Digest, Timestamp};

use crate::{
    ClientStateCipher,
    client_state::{NONCE_LEN, StateContext, StatePurpose},
};

/// Time that the user has to visit the URLs.
pub const URL_ELICITATION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Maximum number of URL elicitations of one call, counted across suspensions.
pub const MAX_URL_ELICITATIONS: u8 = 10;

/// Content of the `requestState` of a URL elicitation. It is valid until it expires and may be used more than once: the
/// server has not run the call and decides each time if it does. A client that comes back twice has sent two calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlElicitation {
    /// Digest of the request: see [`CallPlan::digest`](crate::plan::CallPlan::digest).
    pub request: Digest,
    /// Time of expiry.
    pub until: Timestamp,
    /// Number of URL elicitations of the call so far, with this one.
    pub times: u8,
    /// Number of URLs.
    pub pages: u8,
}

const FORMAT: u8 = 1;

impl UrlElicitation {
    /// Encrypts the elicitation to the text that the client gets.
    pub fn encrypt(
        &self,
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> String {
        let mut plain = Vec::with_capacity(1 + 32 + 8 + 2);
        plain.push(FORMAT);
        plain.extend_from_slice(&self.request.0);
        plain.extend_from_slice(&self.until.0.to_be_bytes());
        plain.extend_from_slice(&[self.times, self.pages]);
        cipher.encrypt(StatePurpose::UrlElicitation, context, nonce, &plain)
    }

    /// Decrypts a text that was encrypted for this gateway and principal.
    pub fn decrypt(
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        text: &str,
    ) -> Option<Self> {
        let plain = cipher.decrypt(StatePurpose::UrlElicitation, context, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (request, rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (&[times, pages], _later) = rest.split_first_chunk()?;
        if format != FORMAT {
            return None;
        }
        Some(Self {
            request: Digest(*request),
            until: Timestamp(u64::from_be_bytes(*until)),
            times,
            pages,
        })
    }

    /// Reports if `inputResponses` declines a URL. A URL without a response is left to the server, which knows if the
    /// user has visited it.
    pub fn is_declined(&self, responses: &[u8]) -> bool {
        let answers = (1..=self.pages).filter_map(|page| object::get(responses, &key(page)));
        let mut actions = answers.map(|answer| object::get(answer, "action"));
        actions.any(|action| action != Some(b"\"accept\""))
    }
}

/// Returns the key of the URL of this number, counted from one.
pub fn key(page: u8) -> String {
    format!("page-{page}")
}

#[cfg(test)]
mod tests;
