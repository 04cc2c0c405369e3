//! Before the answer begins, what is told waits and what is asked is refused.

use super::*;

#[tokio::test]
async fn early_notifications_are_queued_and_early_requests_are_rejected() {
    let callers = InFlightCalls::default();
    let mut elsewhere = Elsewhere::enter(&callers);
    let message = Bytes::from_static(b"{}");
    assert!(
        !callers.deliver_to_sole_call(&message, true),
        "nobody looks yet"
    );
    assert!(callers.deliver_to_sole_call(&message, false));
    elsewhere.open();
    assert_eq!(elsewhere.message().await, message);
    assert!(callers.deliver_to_sole_call(&message, true));
    assert_eq!(elsewhere.message().await, message);
}
