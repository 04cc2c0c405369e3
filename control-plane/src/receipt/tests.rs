//! Tests of the times of records of control planes with other clocks.

use std::sync::Arc;

use toolgate_control_core::push::is_connected;
use toolgate_model::{TokenHash, Version};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn before(by: Duration) -> Timestamp {
    Timestamp(NOW.0 - u64::try_from(by.as_millis()).unwrap())
}

fn proxy(last_seen: Timestamp, connected: bool) -> DecodedRecord {
    let status = ProxyStatus {
        id: "p1".parse().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen,
        connected,
        stream_started: Timestamp(1),
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    DecodedRecord {
        written: last_seen,
        object: ControlObject::Proxy(Arc::new(status)),
    }
}

fn status(record: DecodedRecord, receipt: RecordReceipt) -> ProxyStatus {
    let object = received(record, receipt, NOW);
    let ControlObject::Proxy(status) = &object else {
        panic!("{object:?}");
    };
    ProxyStatus::clone(status)
}

#[test]
fn a_proxy_of_a_control_plane_with_another_clock_is_connected_from_the_arrival_of_its_record() {
    let stamps = [
        before(3 * MINUTE),
        before(3 * DAY),
        NOW.after(3 * MINUTE),
        NOW.after(3 * DAY),
    ];
    for stamp in stamps {
        let status = status(proxy(stamp, true), RecordReceipt::Written);
        assert!(is_connected(&status, NOW.after(STALE_AFTER)), "{stamp:?}");
        let later = NOW.after(STALE_AFTER + Duration::from_secs(1));
        assert!(!is_connected(&status, later), "{stamp:?}");
    }
}

#[test]
fn a_proxy_that_was_recorded_before_has_the_time_of_one_heartbeat_to_prove_itself() {
    let stamps = [
        before(3 * MINUTE),
        before(3 * DAY),
        NOW.after(3 * MINUTE),
        NOW.after(3 * DAY),
    ];
    for stamp in stamps {
        let status = status(proxy(stamp, true), RecordReceipt::Found);
        assert!(
            is_connected(&status, NOW.after(HEARTBEAT_INTERVAL)),
            "{stamp:?}"
        );
        assert!(!is_connected(&status, NOW.after(STALE_AFTER)), "{stamp:?}");
    }
    let gone = status(proxy(before(DAY), false), RecordReceipt::Found);
    assert_eq!((gone.connected, gone.last_seen), (false, before(DAY)));
}

#[test]
fn a_join_token_of_a_control_plane_with_another_clock_keeps_its_lifetime() {
    for written in [before(DAY), NOW, NOW.after(DAY)] {
        let token = JoinToken {
            hash: TokenHash([1; 32]),
            region: String::new(),
            expires: written.after(15 * MINUTE),
        };
        let record = DecodedRecord {
            written,
            object: ControlObject::JoinToken(token.clone()),
        };
        let expected = JoinToken {
            expires: NOW.after(15 * MINUTE),
            ..token
        };
        let found = received(record, RecordReceipt::Written, NOW);
        assert_eq!(found, ControlObject::JoinToken(expected));
    }
}
