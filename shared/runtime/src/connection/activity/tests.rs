//! Tests that marks produce a deadline exactly when a connection takes too long.

use super::*;

fn activity(multiplexed: bool) -> Arc<ConnectionActivity> {
    ConnectionActivity::new(multiplexed, &ConnectionLimits::default())
}

/// Moves the clock; no request may be active.
fn pass(watch: &mut Arc<ConnectionActivity>, seconds: u64) {
    Arc::get_mut(watch).unwrap().opened_at -= Duration::from_secs(seconds);
}

/// Returns the time left in seconds, rounded to the nearest.
fn left(watch: &ConnectionActivity) -> Option<u64> {
    let deadline = watch.deadline(&ConnectionLimits::default())?;
    let left = deadline - Instant::now();
    Some((left + Duration::from_millis(500)).as_secs())
}

#[test]
fn a_new_connection_must_send_a_head_within_five_seconds() {
    assert_eq!(left(&activity(false)), Some(5));
    assert_eq!(left(&activity(true)), Some(5));
}

#[test]
fn an_incomplete_head_ends_an_http2_connection_even_beside_other_requests() {
    let mut watch = activity(true);
    watch.on_frames(true);
    pass(&mut watch, 2);
    watch.on_frames(true);
    assert_eq!(left(&watch), Some(3), "later bytes do not extend it");
    watch.on_frames(false);
    assert_eq!(left(&watch), Some(58), "no request has come of it");
    let active = watch.begin_request();
    assert_eq!(left(&watch), None);
    watch.on_frames(true);
    assert_eq!(left(&watch), Some(5));
    watch.on_frames(false);
    drop(active);
    assert_eq!(left(&watch), Some(60));
}

#[test]
fn a_request_in_progress_has_no_deadline_and_then_the_idle_timeout_applies() {
    let watch = activity(false);
    watch.on_read(true);
    let active = watch.begin_request();
    watch.on_read(false);
    assert_eq!(left(&watch), None);
    drop(active);
    assert_eq!(left(&watch), Some(60));
}

#[test]
fn an_incomplete_head_on_a_reused_connection_times_out_after_five_seconds() {
    let mut watch = activity(false);
    drop(watch.begin_request());
    pass(&mut watch, 10);
    watch.on_read(false);
    assert_eq!(left(&watch), Some(50));
    watch.on_read(true);
    watch.on_read(false);
    assert_eq!(left(&watch), Some(5));
    // Further bytes of the same head do not extend the deadline.
    pass(&mut watch, 3);
    watch.on_read(true);
    watch.on_read(false);
    assert_eq!(left(&watch), Some(2));
    drop(watch.begin_request());
    assert_eq!(left(&watch), Some(60));
}

#[test]
fn stalled_bodies_and_unread_responses_have_their_own_timeouts() {
    let mut watch = activity(false);
    let active = watch.begin_request();
    assert!(watch.body_read_started());
    assert_eq!(left(&watch), Some(30));
    watch.body_read_ended();
    assert_eq!(left(&watch), None);
    drop(active);
    watch.on_write(None);
    pass(&mut watch, 10);
    watch.on_write(None);
    assert_eq!(left(&watch), Some(50));
    watch.on_write(Some(1 << 20));
    assert_eq!(left(&watch), Some(50), "idle since then");
}

#[test]
fn a_reader_below_the_least_rate_ends_though_it_never_stops() {
    let rate = ConnectionLimits::default().least_rate as usize;
    let mut watch = activity(false);
    watch.active_requests.fetch_add(1, Ordering::Relaxed);
    for seconds in 1..=9 {
        watch.on_write(None);
        pass(&mut watch, 5);
        watch.on_write(Some(1));
        watch.on_write(None);
        assert_eq!(left(&watch), Some(60 - 5 * seconds));
    }
    // What it accepts at the least rate pays for the time that it takes.
    watch.on_write(Some(30 * rate));
    watch.on_write(None);
    assert_eq!(left(&watch), Some(45));
    assert_eq!(
        watch
            .pressed_deadline(&ConnectionLimits::default())
            .map(|end| end <= Instant::now()),
        Some(true)
    );
    watch.on_write(Some(60 * rate));
    assert_eq!(left(&watch), None);
}

#[test]
fn any_open_stream_keeps_the_connection_active() {
    let watch = activity(true);
    watch.on_frames(false);
    let (one, two) = (watch.begin_request(), watch.begin_request());
    drop(one);
    assert_eq!(left(&watch), None);
    assert!(!watch.body_read_started());
    drop(two);
    assert_eq!(left(&watch), Some(60));
}
