//! Somebody was sent to a page before a legacy server runs a call: what the modern client holds until they have been there.
//! Nothing waits at the server or with us, so that any proxy makes the call when the client comes back.

use std::time::Duration;

use toolgate_mcp::object;
use toolgate_model::{Digest, Timestamp};

use crate::{
    Sealer,
    seal::{NONCE_LEN, SealContext, SealPurpose},
};

/// How long somebody may take to go there.
pub const LIFE: Duration = Duration::from_secs(60 * 60);

/// Visits that one call may take, the questions between them notwithstanding.
pub const VISITS: u8 = 10;

/// What a `requestState` says that was given out with pages. It is good until its time is over, and not only once: the
/// server has not run the call, and decides afresh each time whether it does. Who comes back twice has called twice, as
/// anybody may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Of what request: see [`CallPlan::digest`](crate::plan::CallPlan::digest).
    pub request: Digest,
    /// From when on it is worth nothing.
    pub until: Timestamp,
    /// How often the call has sent somebody away, with this time.
    pub times: u8,
    /// To how many pages.
    pub pages: u8,
}

const FORMAT: u8 = 1;

impl Visit {
    /// The text that the client gets.
    pub fn seal(
        &self,
        sealer: &Sealer,
        binding: SealContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> String {
        let mut plain = Vec::with_capacity(1 + 32 + 8 + 2);
        plain.push(FORMAT);
        plain.extend_from_slice(&self.request.0);
        plain.extend_from_slice(&self.until.0.to_be_bytes());
        plain.extend_from_slice(&[self.times, self.pages]);
        sealer.seal(SealPurpose::UrlElicitation, binding, nonce, &plain)
    }

    /// What a text says, if we sealed it for this gateway and principal.
    pub fn open(sealer: &Sealer, binding: SealContext<'_>, text: &str) -> Option<Self> {
        let plain = sealer.open(SealPurpose::UrlElicitation, binding, text)?;
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

    /// Whether somebody refused to go, by `inputResponses`. Who says nothing of a page leaves it to the server, which knows
    /// best whether they have been there.
    pub fn is_declined(&self, responses: &[u8]) -> bool {
        let answers = (1..=self.pages).filter_map(|page| object::get(responses, &key(page)));
        let mut actions = answers.map(|answer| object::get(answer, "action"));
        actions.any(|action| action != Some(b"\"accept\""))
    }
}

/// Our key for the page of this number, counted from one.
pub fn key(page: u8) -> String {
    format!("page-{page}")
}

#[cfg(test)]
mod tests;
