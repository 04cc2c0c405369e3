//! Times of records as seen by this control plane. A record is stamped by the clock of the control plane that wrote it, which
//! may differ from this one's, so that its age is counted from its arrival here. What was written before this control plane
//! started has only the stamp of its writer.

use std::time::Duration;

use toolgate_control_core::{
    ControlObject,
    object::JoinToken,
    push::{HEARTBEAT_INTERVAL, STALE_AFTER},
};
use toolgate_model::{ProxyStatus, Timestamp};

use crate::record_codec::DecodedRecord;

/// Time within which a proxy whose record was there before this control plane is expected to be recorded again.
const GRACE_PERIOD: Duration = HEARTBEAT_INTERVAL.saturating_add(Duration::from_secs(10));

/// Arrival of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordReceipt {
    /// The record has just been written.
    Written,
    /// The record was there before.
    Found,
}

/// Returns the object of a record that arrived at `now`, with its times by this control plane's clock.
pub(crate) fn received(
    record: DecodedRecord,
    receipt: RecordReceipt,
    now: Timestamp,
) -> ControlObject {
    let written = record.written;
    if let Some(proxy) = record.object.proxy_status() {
        let last_seen = match receipt {
            RecordReceipt::Written => now,
            RecordReceipt::Found => found_at(proxy, now),
        };
        return ControlObject::from(ProxyStatus {
            last_seen,
            ..proxy.clone()
        });
    }
    if let ControlObject::JoinToken(token) = &record.object
        && receipt == RecordReceipt::Written
    {
        return ControlObject::JoinToken(JoinToken {
            expires: now.after(token.expires.since(written)),
            ..token.clone()
        });
    }
    record.object
}

/// Returns the time at which a recorded proxy was seen. A proxy that is recorded as connected, but was last seen too long
/// ago or in the future, may have been recorded by another clock: it has the time until the next record to prove it.
fn found_at(proxy: &ProxyStatus, now: Timestamp) -> Timestamp {
    if !proxy.connected {
        return proxy.last_seen.min(now);
    }
    let stale_in = STALE_AFTER.saturating_sub(GRACE_PERIOD);
    let before = u64::try_from(stale_in.as_millis()).unwrap_or(u64::MAX);
    let earliest = Timestamp(now.0.saturating_sub(before));
    match proxy.last_seen > now {
        true => earliest,
        false => proxy.last_seen.max(earliest),
    }
}

#[cfg(test)]
mod tests;
