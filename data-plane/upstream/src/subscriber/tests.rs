//! Before the answer begins, notifications wait and requests are refused.

use super::*;

#[tokio::test]
async fn early_notifications_are_queued_and_early_requests_are_rejected() {
    let callers = InFlightCalls::default();
    let mut subscriber = SharedStreamSubscriber::subscribe(&callers);
    let message = Bytes::from_static(b"{}");
    assert!(
        !callers.deliver_to_sole_call(&message, true),
        "nobody looks yet"
    );
    assert!(callers.deliver_to_sole_call(&message, false));
    subscriber.open();
    assert_eq!(subscriber.message().await, message);
    assert!(callers.deliver_to_sole_call(&message, true));
    assert_eq!(subscriber.message().await, message);
}

#[tokio::test]
async fn messages_that_the_call_does_not_read_are_bounded() {
    let callers = InFlightCalls::default();
    let subscriber = SharedStreamSubscriber::subscribe(&callers);
    subscriber.open();
    let message = Bytes::from_static(b"{}");
    let taken = (0..2 * QUEUE).filter(|_| callers.deliver_to_sole_call(&message, true));
    assert_eq!(taken.count(), QUEUE);
}

#[tokio::test]
async fn a_call_that_has_ended_is_not_subscribed_and_two_calls_hear_nothing() {
    let callers = InFlightCalls::default();
    let message = Bytes::from_static(b"{}");
    let (first, second) = (
        SharedStreamSubscriber::subscribe(&callers),
        SharedStreamSubscriber::subscribe(&callers),
    );
    first.open();
    second.open();
    assert!(
        !callers.deliver_to_sole_call(&message, true),
        "either may be meant"
    );
    drop(first);
    assert!(callers.deliver_to_sole_call(&message, true));
    drop(second);
    assert!(!callers.deliver_to_sole_call(&message, true));
}
