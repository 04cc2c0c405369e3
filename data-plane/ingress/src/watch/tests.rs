//! Tests that marks produce a deadline exactly when a connection takes too long.

use super::*;

/// Moves the clock; no request may be active.
fn pass(watch: &mut Arc<Watch>, seconds: u64) {
    Arc::get_mut(watch).unwrap().born -= Duration::from_secs(seconds);
}

/// Returns the time left in seconds, rounded to the nearest.
fn left(watch: &Watch) -> Option<u64> {
    let deadline = watch.deadline(&DoorLimits::default())?;
    let left = deadline - Instant::now();
    Some((left + Duration::from_millis(500)).as_secs())
}

#[test]
fn a_new_connection_owes_a_head_in_five_seconds() {
    assert_eq!(left(&Watch::new(false)), Some(5));
    assert_eq!(left(&Watch::new(true)), Some(60));
}

#[test]
fn a_served_request_has_no_deadline_and_then_the_idle_one() {
    let watch = Watch::new(false);
    watch.read(true);
    let active = watch.begin();
    watch.read(false);
    assert_eq!(left(&watch), None);
    drop(active);
    assert_eq!(left(&watch), Some(60));
}

#[test]
fn half_a_head_on_a_kept_connection_has_five_seconds_from_its_first_byte() {
    let mut watch = Watch::new(false);
    drop(watch.begin());
    pass(&mut watch, 10);
    watch.read(false);
    assert_eq!(left(&watch), Some(50));
    watch.read(true);
    watch.read(false);
    assert_eq!(left(&watch), Some(5));
    // Further bytes of the same head do not extend the deadline.
    pass(&mut watch, 3);
    watch.read(true);
    watch.read(false);
    assert_eq!(left(&watch), Some(2));
    drop(watch.begin());
    assert_eq!(left(&watch), Some(60));
}

#[test]
fn a_body_that_stalls_and_an_answer_not_taken_have_their_own_time() {
    let mut watch = Watch::new(false);
    let active = watch.begin();
    assert!(watch.body_waits());
    assert_eq!(left(&watch), Some(30));
    watch.body_came();
    assert_eq!(left(&watch), None);
    drop(active);
    watch.wrote(false);
    pass(&mut watch, 10);
    watch.wrote(false);
    assert_eq!(left(&watch), Some(50));
    watch.wrote(true);
    assert_eq!(left(&watch), Some(50), "idle since then");
}

#[test]
fn streams_of_one_connection_keep_it_together() {
    let watch = Watch::new(true);
    let (one, two) = (watch.begin(), watch.begin());
    drop(one);
    assert_eq!(left(&watch), None);
    assert!(!watch.body_waits());
    drop(two);
    assert_eq!(left(&watch), Some(60));
}
