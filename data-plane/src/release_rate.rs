//! Rate of messages that release resources beyond the other rates: cancellations, and answers to requests of servers. A used-up
//! rate limit does not hold up the end of what waits, and such messages are bounded nonetheless, in number and in size. The rate
//! is checked before the body is read, so other messages of sessions beyond a limit count towards it too: only their body shows
//! what they are.

use std::time::Instant;

use http::request::Parts;
use toolgate_data_core::{Caller, Refusal};

use crate::{
    config_source::ConfigSource,
    proxy_state::ProxyState,
    session_header::SessionHeader,
    transport_request::{ReleaseKind, TransportRequest},
};

/// Number of messages in a second that one token may send beyond its other rates to release resources.
pub(crate) const RELEASE_RATE: u32 = 20;

/// Number of such messages that may arrive at once before the rate applies.
pub(crate) const RELEASE_BURST: u32 = 100;

/// Maximum size in bytes of a cancellation beyond the other rates.
pub(crate) const MAX_CANCELLATION: usize = 64 * 1024;

impl<S: ConfigSource> ProxyState<S> {
    /// Returns the maximum size of the body of a request that the other rates refused; the same refusal if the request does
    /// not release resources or its token has used up the rate of such requests.
    pub(crate) fn release_body_limit(
        &self,
        refusal: &Refusal,
        (head, session): (&Parts, impl FnOnce() -> SessionHeader),
        caller: &Caller,
        now: Instant,
    ) -> Result<usize, Refusal> {
        let kind = ReleaseKind::of(head).ok_or_else(|| refusal.clone())?;
        if !self.limiter.admits_release(caller, now) {
            return Err(refusal.clone());
        }
        match kind {
            ReleaseKind::Cancellation => Ok(MAX_CANCELLATION),
            // An answer may be as large as any message, but only a session has something to answer.
            ReleaseKind::InSession => session()
                .claims()
                .map(|_claims| usize::MAX)
                .ok_or_else(|| refusal.clone()),
        }
    }

    /// Returns `true` if a member of a batch passes beyond the other rates.
    pub(crate) fn admits_release(
        &self,
        received: &TransportRequest,
        caller: &Caller,
        now: Instant,
    ) -> bool {
        received.releases_resources() && self.limiter.admits_release(caller, now)
    }
}
