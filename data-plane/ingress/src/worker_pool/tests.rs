//! Tests that connections are spread over the workers, stay on their worker, and end with the pool.

use std::{sync::mpsc, time::Duration};

use toolgate_runtime::{Metrics, clock};

use super::*;

#[test]
fn connections_are_spread_evenly_and_slots_are_released() {
    let pool = WorkerPool::start(3, &Liveness::default()).unwrap();
    let (say, said) = mpsc::sync_channel(16);
    let mut ends = Vec::new();
    for _ in 0..6 {
        let (end, ended) = oneshot::channel::<()>();
        let say = say.clone();
        pool.spawn(move || async move {
            say.send(thread::current().id()).unwrap();
            let _gone = ended.await;
            say.send(thread::current().id()).unwrap();
        });
        ends.push(end);
    }
    let count = |said: &mpsc::Receiver<thread::ThreadId>| {
        let mut seen: Vec<_> = (0..6).map(|_| said.recv().unwrap()).collect();
        seen.sort_by_key(|id| format!("{id:?}"));
        seen.dedup();
        seen.len()
    };
    assert_eq!(count(&said), 3);
    drop(ends);
    assert_eq!(count(&said), 3);
    while pool
        .workers
        .iter()
        .any(|worker| worker.connections.load(Ordering::Relaxed) > 0)
    {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn tasks_end_with_their_worker_pool() {
    let pool = WorkerPool::start(1, &Liveness::default()).unwrap();
    let (say, said) = mpsc::sync_channel::<()>(1);
    pool.spawn(move || async move {
        let _kept = say;
        std::future::pending::<()>().await;
    });
    drop(pool);
    // The task's sender was dropped with the worker.
    let gone = said.recv_timeout(crate::HANG_GUARD);
    assert_eq!(gone, Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_blocked_worker_is_reported_until_it_responds_again() {
    let liveness = Liveness::default();
    let pool = WorkerPool::start(2, &liveness).unwrap();
    liveness.start(clock::system(), &Metrics::new()).unwrap();
    let (release, released) = mpsc::sync_channel::<()>(1);
    pool.spawn(move || async move {
        // Blocks the thread, as a computation without end does.
        let _released = released.recv_timeout(crate::HANG_GUARD);
    });
    let wait = |blocked: usize| {
        let ends = clock::system().monotonic() + crate::HANG_GUARD;
        while liveness.blocked().len() != blocked {
            let now = clock::system().monotonic();
            assert!(now < ends, "{:?}", liveness.blocked());
            thread::sleep(Duration::from_millis(20));
        }
    };
    wait(1);
    let blocked = liveness.blocked();
    assert_eq!(blocked.first().unwrap().name, "worker-0");
    assert!(liveness.is_alive(), "{blocked:?}");
    release.send(()).unwrap();
    wait(0);
    drop(pool);
}
