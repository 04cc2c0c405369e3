//! Tests of readiness.

use super::*;

#[tokio::test]
async fn ready_when_the_last_guard_is_dropped() {
    let readiness = Readiness::new();
    let (store, view) = (readiness.block("store"), readiness.block("view"));
    assert_eq!(readiness.pending(), ["store", "view"]);
    drop(store);
    assert!(!readiness.is_ready());
    drop(view);
    readiness.ready().await;
    assert!(readiness.is_ready());
}

#[test]
fn a_withdrawn_readiness_never_returns() {
    let readiness = Readiness::new();
    readiness.withdraw();
    drop(readiness.block("other"));
    assert!(!readiness.is_ready());
    assert_eq!(readiness.pending(), ["shutting down"]);
}
