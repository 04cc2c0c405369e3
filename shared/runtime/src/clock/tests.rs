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
