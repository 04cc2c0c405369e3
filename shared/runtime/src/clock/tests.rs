//! Tests of the clocks.

use super::*;

#[test]
fn a_manual_clock_moves_only_when_advanced() {
    let clock = ManualClock::new(Timestamp(1_000));
    let (now, monotonic) = (clock.now(), clock.monotonic());
    assert_eq!((now, monotonic), (clock.now(), clock.monotonic()));
    clock.advance(Duration::from_millis(250));
    assert_eq!(clock.now(), Timestamp(1_250));
    assert_eq!(clock.monotonic() - monotonic, Duration::from_millis(250));
}

#[test]
fn the_system_clock_shows_this_century() {
    assert!(SystemClock.now() > Timestamp(1_700_000_000_000));
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_special_times_are_formatted_as_they_are_in_the_calendar() {
    for line in SPECIAL_TIMES.lines() {
        let (millis, rest) = line.split_once(' ').unwrap();
        let (text, why) = rest.split_once(' ').unwrap();
        let at = Timestamp(millis.parse().unwrap());
        let seconds = text.trim_end_matches('Z').split('.').next().unwrap();
        assert_eq!(rfc3339(at), format!("{seconds}Z"), "{why}");
        let since = to_system_time(at).duration_since(std::time::UNIX_EPOCH);
        assert_eq!(since.unwrap().as_millis(), u128::from(at.0), "{why}");
    }
    assert_eq!(SPECIAL_TIMES.lines().count(), 12);
}
