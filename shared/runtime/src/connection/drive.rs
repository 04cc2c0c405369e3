//! Polls a connection and enforces its time limits with a single timer.

use std::{
    future::{Future, poll_fn},
    ops::DerefMut,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{activity::ConnectionActivity, limits::ConnectionLimits};
use crate::random;

/// Interval at which a blocked connection checks for a shortage of memory.
const PRESSURE_POLL: Duration = Duration::from_secs(1);

/// Reason for which [`drive`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveEnd {
    /// The connection ended, or was taken over.
    Ended,
    /// The peer was too slow.
    TimedOut,
}

/// Polls a connection until it ends, times out, is taken over, or has closed after being asked to. `close` asks it, when
/// `closing` completes or the connection has reached its age. While `is_pressed`, a peer that accepts bytes slowly has less
/// time.
pub async fn drive<C: Future>(
    mut connection: Pin<impl DerefMut<Target = C>>,
    close: impl Fn(Pin<&mut C>),
    is_handed_off: impl Fn() -> bool,
    activity: &ConnectionActivity,
    limits: &ConnectionLimits,
    closing: impl Future<Output = ()>,
    is_pressed: impl Fn() -> bool,
) -> DriveEnd {
    let tenth = (limits.max_age / 10).as_millis().max(1);
    let jitter = Duration::from_millis(random::number() % u64::try_from(tenth).unwrap_or(u64::MAX));
    let max_age_deadline = Instant::now() + limits.max_age - jitter;
    let mut close_requested = pin!(closing);
    let mut timer = pin!(sleep_until(max_age_deadline));
    let mut is_closing = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() || is_handed_off() {
            return Poll::Ready(DriveEnd::Ended);
        }
        if !is_closing && close_requested.as_mut().poll(cx).is_ready() {
            is_closing = true;
            close(connection.as_mut());
            // Wakes the task so that the graceful shutdown makes progress now.
            cx.waker().wake_by_ref();
        }
        loop {
            let mut deadline = activity.deadline(limits);
            let pressed = activity.pressed_deadline(limits);
            if pressed.is_some() && is_pressed() {
                deadline = [deadline, pressed].into_iter().flatten().min();
            }
            // The shortage of memory may begin while a write is blocked.
            let first_check = pressed.map(|pressed| pressed.max(Instant::now() + PRESSURE_POLL));
            // A deadline that moved later is noticed when the timer fires. This is the usual case and costs nothing
            // here.
            let wake = [deadline, first_check].into_iter().flatten().min();
            if let Some(wake) = wake.filter(|wake| *wake < timer.deadline()) {
                timer.as_mut().reset(wake);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(DriveEnd::TimedOut);
            }
            if now >= max_age_deadline && !is_closing {
                is_closing = true;
                close(connection.as_mut());
                cx.waker().wake_by_ref();
            }
            let next_check = now + limits.idle_timeout;
            timer
                .as_mut()
                .reset(wake.map_or(next_check, |wake| wake.min(next_check)));
        }
    })
    .await
}
