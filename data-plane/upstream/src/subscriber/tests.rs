//! Before the answer begins, notifications wait and requests are refused.

use super::*;

#[tokio::test]
async fn early_notifications_are_queued_and_early_requests_are_rejected() {
    let calls = SharedStreamReceivers::default();
    let mut subscriber = SharedStreamSubscriber::subscribe(&calls);
    let message = Bytes::from_static(b"{}");
    assert!(
        !calls.deliver_to_sole_call(&message, true),
        "nobody looks yet"
    );
    assert!(calls.deliver_to_sole_call(&message, false));
    subscriber.open();
    assert_eq!(subscriber.message().await, message);
    assert!(calls.deliver_to_sole_call(&message, true));
    assert_eq!(subscriber.message().await, message);
}

#[tokio::test]
async fn messages_that_the_call_does_not_read_are_bounded() {
    let calls = SharedStreamReceivers::default();
    let subscriber = SharedStreamSubscriber::subscribe(&calls);
    subscriber.open();
    let message = Bytes::from_static(b"{}");
    let taken = (0..2 * QUEUE).filter(|_| calls.deliver_to_sole_call(&message, true));
    assert_eq!(taken.count(), QUEUE);
}

#[tokio::test]
async fn a_call_that_has_ended_is_not_subscribed_and_two_calls_hear_nothing() {
    let calls = SharedStreamReceivers::default();
    let message = Bytes::from_static(b"{}");
    let (first, second) = (
        SharedStreamSubscriber::subscribe(&calls),
        SharedStreamSubscriber::subscribe(&calls),
    );
    first.open();
    second.open();
    assert!(
        !calls.deliver_to_sole_call(&message, true),
        "either may be meant"
    );
    drop(first);
    assert!(calls.deliver_to_sole_call(&message, true));
    drop(second);
    assert!(!calls.deliver_to_sole_call(&message, true));
}
