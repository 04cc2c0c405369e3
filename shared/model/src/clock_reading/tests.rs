//! Tests of comparisons of clocks.

use super::*;

fn seconds(count: u64) -> Timestamp {
    Timestamp(count * 1000)
}

fn reading(sent: u64, received: u64, round_trip_ms: u64) -> ClockReading {
    let round_trip = Duration::from_millis(round_trip_ms);
    ClockReading::of_message(seconds(sent), seconds(received), round_trip)
}

#[test]
fn the_difference_has_a_direction_and_an_error() {
    let ahead = reading(1_000, 820, 2_000);
    assert_eq!((ahead.ahead_ms, ahead.error_ms), (181_000, 1_000));
    let behind = reading(820, 1_000, 0);
    assert_eq!((behind.ahead_ms, behind.error_ms), (-180_000, 0));
    assert!(ahead.is_off() && behind.is_off());
}

#[test]
fn a_difference_within_the_round_trip_is_not_told() {
    // The message may have taken the whole minute.
    assert!(!reading(1_000, 1_060, 60_000).is_off());
    assert!(!reading(1_000, 1_030, 0).is_off());
    assert!(reading(1_000, 1_031, 0).is_off());
    assert!(reading(1_000, 1_200, 60_000).is_off());
}

#[test]
fn small_changes_of_a_difference_are_not_news() {
    let three_minutes = reading(1_180, 1_000, 10);
    assert!(!three_minutes.differs_from(&reading(1_185, 1_000, 10)));
    assert!(three_minutes.differs_from(&reading(1_300, 1_000, 10)));
    assert!(three_minutes.differs_from(&reading(1_000, 1_000, 10)));
    assert!(!reading(1_001, 1_000, 10).differs_from(&reading(1_010, 1_000, 10)));
}

#[test]
fn the_largest_times_do_not_overflow() {
    let (first, last) = (Timestamp(0), Timestamp(u64::MAX));
    let ahead = ClockReading::of_message(last, first, Duration::MAX);
    assert_eq!(ahead.ahead_ms, i64::MAX);
    let behind = ClockReading::of_message(first, last, Duration::ZERO);
    assert_eq!(behind.ahead_ms, -i64::MAX);
    assert!(ahead.differs_from(&behind) || !ahead.is_off());
}
