//! Events about refused uses of session ids. A stolen id shows in them: the gateway, the caller, and the address that it was
//! sent from. In place of the id, an event has the start of its digest, by which attempts with one id are found.

use std::net::IpAddr;

use http::HeaderMap;
use toolgate_data_core::{Caller, Refusal};
use toolgate_model::{Digest, Slug, Timestamp};

use crate::{event_limiter::EventLimiter, request_limiter::RequestPermit, transport_request};

/// Maximum number of events in a second about requests without a valid token. Such requests cost their sender nothing, and are
/// not to fill a log; the metric `toolgate_refusals_total` counts all of them.
pub(crate) const MAX_ANONYMOUS: u8 = 10;

/// Number of hexadecimal digits of a digest in an event.
const DIGEST_DIGITS: usize = 16;

/// Records a refusal if its reason is the session id of an authenticated caller. The number of events about one token is
/// limited by the second, so that a token can neither fill the log nor hide the events about others.
pub(crate) fn record_refused(
    refusal: &Refusal,
    (permit, now): (&RequestPermit, Timestamp),
    headers: &HeaderMap,
    gateway: &Slug,
    caller: &Caller,
    address: IpAddr,
) {
    if !matches!(refusal, Refusal::UnknownSession) || !permit.session_events().admits(now) {
        return;
    }
    tracing::info!(
        %gateway,
        principal = %caller.principal(),
        %address,
        session = %digest_of_session(headers),
        "a session id is refused: it is unknown, has ended, or belongs to another caller or gateway"
    );
}

/// Records a request that has a session id and no valid token, or a token for another gateway.
pub(crate) fn record_unauthenticated(
    limiter: &EventLimiter<MAX_ANONYMOUS>,
    headers: &HeaderMap,
    address: IpAddr,
    now: Timestamp,
) {
    if !headers.contains_key(transport_request::SESSION) || !limiter.admits(now) {
        return;
    }
    tracing::info!(
        %address,
        session = %digest_of_session(headers),
        "a session id is refused: the request has no token that is valid here"
    );
}

fn digest_of_session(headers: &HeaderMap) -> String {
    let value = headers.get(transport_request::SESSION);
    let mut digest = Digest::of_bytes(value.map_or(&b""[..], |value| value.as_bytes())).to_hex();
    digest.truncate(DIGEST_DIGITS);
    digest
}

#[cfg(test)]
mod tests;
