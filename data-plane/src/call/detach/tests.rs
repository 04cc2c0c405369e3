//! A dropped future is finished in the background; a finished one does not run twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use toolgate_runtime::{DrainOutcome, drain};

use super::*;

/// Upper bound of waits that only guard against a hang.
const HANG_GUARD: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_dropped_future_runs_to_completion_and_delays_the_drain() {
    let (drain, trigger) = drain::new();
    let ran = Arc::new(AtomicU32::new(0));
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let work = |ran: Arc<AtomicU32>| {
        let go = Arc::clone(&go);
        async move {
            let _permit = go.acquire().await;
            ran.fetch_add(1, Ordering::SeqCst);
        }
    };
    let finish = DetachOnDrop::new(Box::pin(work(Arc::clone(&ran))), drain.clone());
    // Work that cannot end yet is dropped.
    let waited = tokio::time::timeout(Duration::from_millis(5), finish).await;
    assert!(waited.is_err());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    go.add_permits(1);
    DetachOnDrop::new(Box::pin(work(Arc::clone(&ran))), drain.clone()).await;
    let outcome = trigger.drain(HANG_GUARD).await;
    assert_eq!(outcome, DrainOutcome::Drained);
    assert_eq!(ran.load(Ordering::SeqCst), 2);
}
