//! Tests of the observation of threads: blocked ones, ones that end, and a process that was stopped.

use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

use super::*;

const STEP: Duration = BEAT_INTERVAL;

/// Observes at regular times; a thread in `beating` beats before each of them.
fn observe(liveness: &Liveness, at: &mut Instant, times: u32, beating: &[&Heartbeat]) {
    for _ in 0..times {
        *at += STEP;
        for heartbeat in beating {
            heartbeat.beat();
        }
        liveness.observe(*at);
    }
}

fn start() -> Instant {
    crate::clock::system().monotonic()
}

#[test]
fn a_blocked_thread_is_reported_within_three_seconds_and_fails_the_process_within_fifteen() {
    let (liveness, mut at) = (Liveness::default(), start());
    let (one, two) = (liveness.register("worker-0"), liveness.register("worker-1"));
    observe(&liveness, &mut at, 20, &[&one, &two]);
    assert_eq!(liveness.blocked(), []);
    let stopped = at;
    while liveness.blocked().is_empty() {
        observe(&liveness, &mut at, 1, &[&one]);
    }
    assert!(at - stopped <= Duration::from_secs(3), "{:?}", at - stopped);
    assert_eq!(liveness.blocked().first().unwrap().name, "worker-1");
    assert!(liveness.is_alive());
    while liveness.is_alive() {
        observe(&liveness, &mut at, 1, &[&one]);
    }
    assert!(
        at - stopped <= Duration::from_secs(15),
        "{:?}",
        at - stopped
    );
    observe(&liveness, &mut at, 1, &[&one, &two]);
    assert_eq!(liveness.blocked(), []);
    assert!(liveness.is_alive());
    assert_eq!(liveness.shared.blockages.load(Ordering::Relaxed), 1);
}

#[test]
fn threads_that_beat_or_have_ended_are_not_reported() {
    let (liveness, mut at) = (Liveness::default(), start());
    let (one, two) = (liveness.register("one"), liveness.register("two"));
    observe(&liveness, &mut at, 4, &[&one, &two]);
    drop(two);
    observe(&liveness, &mut at, 1_200, &[&one]);
    assert_eq!(liveness.blocked(), []);
    assert_eq!(liveness.observed().threads.len(), 1);
    // One beat in three is enough: a busy machine delays them.
    for _ in 0..100 {
        observe(&liveness, &mut at, 2, &[]);
        observe(&liveness, &mut at, 1, &[&one]);
        assert_eq!(liveness.blocked(), []);
    }
}

#[test]
fn a_process_that_was_stopped_has_no_blocked_threads() {
    let (liveness, mut at) = (Liveness::default(), start());
    let one = liveness.register("one");
    observe(&liveness, &mut at, 10, &[&one]);
    at += Duration::from_secs(3_600);
    liveness.observe(at);
    assert_eq!(liveness.blocked(), []);
    observe(&liveness, &mut at, 10, &[&one]);
    assert_eq!(liveness.shared.blockages.load(Ordering::Relaxed), 0);
}

/// Log that records, at each line, the threads that are shown as blocked; `None` where the lock is held.
#[derive(Clone)]
struct ObservingLog {
    liveness: Liveness,
    seen: Arc<Mutex<Vec<Option<usize>>>>,
}

impl<S: Subscriber> Layer<S> for ObservingLog {
    fn on_event(&self, _event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let is_free = self.liveness.shared.observed.try_lock().is_ok();
        let blocked = is_free.then(|| self.liveness.blocked().len());
        self.seen.lock().unwrap().push(blocked);
    }
}

#[test]
fn a_log_that_blocks_does_not_delay_the_answer_of_livez() {
    let (liveness, mut at) = (Liveness::default(), start());
    let (one, two) = (liveness.register("one"), liveness.register("two"));
    let log = ObservingLog {
        liveness: liveness.clone(),
        seen: Arc::default(),
    };
    let subscriber = tracing_subscriber::registry().with(log.clone());
    tracing::subscriber::with_default(subscriber, || {
        observe(&liveness, &mut at, 10, &[]);
        observe(&liveness, &mut at, 1, &[&one, &two]);
    });
    // Two threads are blocked and respond again: all of them are shown before the first line is written.
    let seen = log.seen.lock().unwrap();
    assert_eq!(*seen, [Some(2), Some(2), Some(0), Some(0)]);
}
