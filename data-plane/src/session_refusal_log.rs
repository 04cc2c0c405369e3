//! Events about refused uses of session ids. A stolen id shows in them: the gateway, the caller, and the address that it was
//! sent from. In place of the id, an event has the start of its digest, by which attempts with one id are found.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderMap;
use toolgate_data_core::{Caller, Refusal};
use toolgate_model::{Digest, Slug, Timestamp};

use crate::transport_request;

/// Maximum number of events in a second about requests without a valid token. Such requests cost their sender nothing, and are
/// not to fill a log; the metric `toolgate_refusals_total` counts all of them.
const MAX_ANONYMOUS: u64 = 10;

/// Number of hexadecimal digits of a digest in an event.
const DIGEST_DIGITS: usize = 16;

/// Counter of the events about requests without a valid token, by second.
#[derive(Debug, Default)]
pub(crate) struct AnonymousEventCounter {
    /// The second, above the number of its events in the lowest byte.
    second_and_count: AtomicU64,
}

impl AnonymousEventCounter {
    /// Returns `true` if another event fits into the second of `now`.
    fn admits(&self, now: Timestamp) -> bool {
        let second = now.0 / 1000;
        let next = |last: u64| match last >> 8 == second {
            true if last & 0xff < MAX_ANONYMOUS => Some(last + 1),
            true => None,
            false => Some((second << 8) + 1),
        };
        let updated =
            self.second_and_count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        updated.is_ok()
    }
}

/// Records a refusal if its reason is the session id of an authenticated caller.
pub(crate) fn record_refused(
    refusal: &Refusal,
    headers: &HeaderMap,
    gateway: &Slug,
    caller: &Caller,
    address: IpAddr,
) {
    if !matches!(refusal, Refusal::UnknownSession) {
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
    counter: &AnonymousEventCounter,
    headers: &HeaderMap,
    address: IpAddr,
    now: Timestamp,
) {
    if !headers.contains_key(transport_request::SESSION) || !counter.admits(now) {
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
