//! Tests of the budgets of observations.

use std::time::Duration;

use super::{ObservationAdmission, ObservationLimiter};
use crate::fixture::name;

const MIB: u64 = 1024 * 1024;
const QUOTA: u64 = 256 * MIB;

/// Offers a write of `bytes` of each server every second. Returns the bytes that were written.
fn written(limiter: &mut ObservationLimiter, servers: &[String], bytes: u64, seconds: u64) -> u64 {
    let mut total = 0;
    for second in 0..seconds {
        for server in servers {
            let now = Duration::from_secs(second);
            let admission = limiter.admit(&name(server), bytes, QUOTA, now);
            let is_written = matches!(
                admission,
                ObservationAdmission::Write | ObservationAdmission::WriteUnstable
            );
            if is_written {
                total += bytes;
            }
        }
    }
    total
}

#[test]
fn servers_that_change_at_every_probe_write_a_bounded_number_of_bytes() {
    for (count, most) in [(1, 30 * MIB), (3, 90 * MIB), (300, 16 * 62 * MIB)] {
        let mut limiter = ObservationLimiter::default();
        let servers: Vec<String> = (0..count).map(|n| format!("flapping-{n}")).collect();
        let hour = written(&mut limiter, &servers, MIB, 3600);
        assert!(
            hour <= most,
            "{count} servers wrote {} MiB in an hour",
            hour / MIB
        );
    }
}

#[test]
fn the_first_large_definitions_of_a_server_are_no_change_and_delay_those_of_others() {
    let mut limiter = ObservationLimiter::default();
    let mut admit = |server, bytes, second| {
        let now = Duration::from_secs(second);
        limiter.admit(&name(server), bytes, QUOTA, now)
    };
    assert_eq!(admit("large", 32 * MIB, 0), ObservationAdmission::Write);
    // The room of all servers is used up for now, which is no fault of the other one.
    assert_eq!(admit("other", MIB, 1), ObservationAdmission::Postpone);
    assert_eq!(admit("other", MIB, 90), ObservationAdmission::Write);
    // One changed definition is one new part.
    assert_eq!(admit("large", MIB, 100), ObservationAdmission::Write);
    assert_eq!(
        admit("large", 32 * MIB, 200),
        ObservationAdmission::WriteUnstable
    );
    assert_eq!(admit("large", 32 * MIB, 400), ObservationAdmission::Defer);
}

#[test]
fn a_server_that_changes_now_and_then_is_stored_at_once() {
    let mut limiter = ObservationLimiter::default();
    for change in 0..100 {
        let now = Duration::from_secs(change);
        let admission = limiter.admit(&name("usual"), 30_000, QUOTA, now);
        assert_eq!(admission, ObservationAdmission::Write, "change {change}");
    }
}

#[test]
fn an_unstable_server_is_named_once_and_is_stable_again_after_it_has_calmed() {
    let mut limiter = ObservationLimiter::default();
    let mut admit = |second| {
        let now = Duration::from_secs(second);
        limiter.admit(&name("flapping"), MIB, QUOTA, now)
    };
    for second in 0..4 {
        assert_eq!(admit(second), ObservationAdmission::Write);
    }
    assert_eq!(admit(4), ObservationAdmission::WriteUnstable);
    assert_eq!(admit(5), ObservationAdmission::Defer);
    assert_eq!(admit(400), ObservationAdmission::WriteUnstable);
    assert_eq!(admit(401), ObservationAdmission::Defer);
    assert_eq!(admit(2_000), ObservationAdmission::Write);
}
