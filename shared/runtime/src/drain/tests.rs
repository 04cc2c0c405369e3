//! Tests of the drain.

use super::*;

#[tokio::test]
async fn a_drain_waits_for_spawned_tasks() {
    let (drain, trigger) = new();
    let stop = drain.draining();
    let task = drain.spawn("worker", async move {
        stop.await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        42
    });
    assert_eq!(
        trigger.drain(crate::HANG_GUARD).await,
        DrainOutcome::Drained
    );
    assert!(drain.is_draining());
    assert_eq!(task.await.unwrap(), 42);
}

#[tokio::test]
async fn blocking_tasks_are_named() {
    let (drain, trigger) = new();
    let _first = drain.blocker("upload");
    let _second = drain.blocker("upload");
    drop(drain.blocker("finished"));
    let outcome = trigger.drain(Duration::from_millis(20)).await;
    assert_eq!(outcome.to_string(), "still running: upload (2)");
}

#[tokio::test]
async fn last_tasks_end_after_the_tasks_they_serve() {
    let (drain, trigger) = new();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    drain.spawn("connection", async move { drop(released.await) });
    let settled = drain.settled();
    let feeder = drain.spawn_last("feeder", settled);
    let drained = drain.spawn_unguarded(trigger.drain(crate::HANG_GUARD));
    drain.draining().await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!feeder.is_finished() && !drained.is_finished());
    release.send(()).unwrap();
    assert_eq!(drained.await.unwrap(), DrainOutcome::Drained);
    assert!(feeder.is_finished());
}

#[tokio::test]
async fn a_panicking_task_does_not_block_a_drain() {
    let (drain, trigger) = new();
    let task = drain.spawn("fragile", async { panic!("on purpose") });
    assert!(task.await.is_err());
    assert_eq!(
        trigger.drain(crate::HANG_GUARD).await,
        DrainOutcome::Drained
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_client_ends_before_the_deadline() {
    let (drain, trigger) = new();
    let near = drain.deadline_near();
    drop(drain.spawn("question", near));
    let start = tokio::time::Instant::now();
    let outcome = trigger.drain(Duration::from_secs(30)).await;
    assert_eq!(outcome, DrainOutcome::Drained);
    assert_eq!(start.elapsed().as_secs(), 25);
}
