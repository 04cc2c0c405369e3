//! Before the answer begins, what is told waits and what is asked is refused.

use super::*;

#[tokio::test]
async fn what_is_told_early_waits_and_what_is_asked_early_is_refused() {
    let callers = Callers::default();
    let mut elsewhere = Elsewhere::enter(&callers);
    let message = Bytes::from_static(b"{}");
    assert!(!callers.hear(&message, true), "nobody looks yet");
    assert!(callers.hear(&message, false));
    elsewhere.open();
    assert_eq!(elsewhere.message().await, message);
    assert!(callers.hear(&message, true));
    assert_eq!(elsewhere.message().await, message);
}
