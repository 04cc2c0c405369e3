//! Dropped work goes on, finished work does not run twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use toolgate_runtime::{DrainOutcome, drain};

use super::*;

#[tokio::test]
async fn a_dropped_future_runs_to_completion_and_delays_the_drain() {
    let (drain, trigger) = drain::new();
    let ran = Arc::new(AtomicU32::new(0));
    let work = |ran: Arc<AtomicU32>| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ran.fetch_add(1, Ordering::SeqCst);
    };
    let finish = Finish::new(work(Arc::clone(&ran)), drain.clone());
    let waited = tokio::time::timeout(Duration::from_millis(5), finish).await;
    assert!(waited.is_err());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    Finish::new(work(Arc::clone(&ran)), drain.clone()).await;
    let outcome = trigger.drain(Duration::from_secs(5)).await;
    assert_eq!(outcome, DrainOutcome::Drained);
    assert_eq!(ran.load(Ordering::SeqCst), 2);
}
