//! Tests of readiness.

use super::*;

#[tokio::test]
async fn ready_when_the_last_guard_is_released() {
    let readiness = Readiness::new();
    let (store, view) = (readiness.block("store"), readiness.block("view"));
    assert_eq!(readiness.pending(), ["store", "view"]);
    store.release();
    assert!(!readiness.is_ready());
    view.release();
    readiness.ready().await;
    assert!(readiness.is_ready());
}

#[test]
fn a_withdrawn_readiness_never_returns() {
    let readiness = Readiness::new();
    readiness.withdraw();
    readiness.block("other").release();
    assert!(!readiness.is_ready());
    assert_eq!(readiness.pending(), ["shutting down"]);
}

#[test]
fn a_guard_that_is_dropped_by_a_failed_start_leaves_the_process_unready() {
    let readiness = Readiness::new();
    let (start, store) = (readiness.block("start"), readiness.block("store"));
    store.release();
    drop(start);
    assert!(!readiness.is_ready());
    assert_eq!(readiness.pending(), ["start"]);
}
