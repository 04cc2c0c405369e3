//! Liveness of the threads that serve. Each beats regularly; a thread whose runtime is blocked by a task does not. A thread of
//! its own observes them, logs and counts blocked ones, and makes the process not alive if one stays blocked.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{clock::SharedClock, metrics::Metrics};

/// Interval of the beats of a thread, and of the observation.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Time without a beat from which a thread counts as blocked.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);
/// Time without a beat from which the process is not alive.
const FAILED_AFTER: Duration = Duration::from_secs(10);
/// Time between two observations from which the process itself was stopped, so that missing beats mean nothing.
const OBSERVATION_GAP: Duration = Duration::from_millis(1_500);

/// Threads of the process that beat. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    shared: Arc<LivenessState>,
}

/// Beat of one thread. The thread is observed until this is dropped.
#[derive(Debug)]
pub struct Heartbeat(Arc<BeatingThread>);

/// Thread without a beat for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedThread {
    /// Name of the thread.
    pub name: String,
    /// Time without a beat.
    pub silence: Duration,
}

#[derive(Debug, Default)]
struct LivenessState {
    observed: Mutex<ObservedThreads>,
    /// Number of times that a thread was blocked.
    blockages: AtomicU64,
}

#[derive(Debug)]
struct BeatingThread {
    name: String,
    beats: AtomicU64,
}

/// Beats as they were observed.
#[derive(Debug, Default)]
struct ObservedThreads {
    threads: Vec<ThreadObservation>,
    last: Option<Instant>,
}

#[derive(Debug)]
struct ThreadObservation {
    thread: Weak<BeatingThread>,
    beats: u64,
    /// Time at which the number of beats was first seen; `None` before the first observation.
    since: Option<Instant>,
    silence: Duration,
}

/// Change of a thread between two observations.
#[derive(Debug)]
enum ThreadChange {
    Blocked(Arc<BeatingThread>),
    Responds(Arc<BeatingThread>),
}

impl Liveness {
    /// Adds a thread, which has to run the heartbeat.
    pub fn register(&self, name: &str) -> Heartbeat {
        let thread = Arc::new(BeatingThread {
            name: name.to_owned(),
            beats: AtomicU64::new(0),
        });
        let observation = ThreadObservation {
            thread: Arc::downgrade(&thread),
            beats: 0,
            since: None,
            silence: Duration::ZERO,
        };
        self.observed().threads.push(observation);
        Heartbeat(thread)
    }

    /// Starts the thread that observes the others. It ends when all clones of this value are gone.
    pub fn start(&self, clock: SharedClock, metrics: &Metrics) -> io::Result<()> {
        let shown = Arc::downgrade(&self.shared);
        let count = move |value: fn(&Liveness) -> u64| {
            let shared = shown.upgrade();
            shared.map_or(0.0, |shared| value(&Self { shared }) as f64)
        };
        let blocked = count.clone();
        metrics.observe(
            "toolgate.threads.blocked",
            "",
            "Threads that serve and do not respond",
            move || blocked(|liveness| u64::try_from(liveness.blocked().len()).unwrap_or(u64::MAX)),
        );
        metrics.observe(
            "toolgate.threads.blockages",
            "",
            "Times that a thread did not respond for 2 s, since the start",
            move || count(|liveness| liveness.shared.blockages.load(Ordering::Relaxed)),
        );
        let observed = Arc::downgrade(&self.shared);
        let run = move || {
            while let Some(shared) = observed.upgrade() {
                Self { shared }.observe(clock.monotonic());
                thread::sleep(BEAT_INTERVAL);
            }
        };
        thread::Builder::new()
            .name("liveness".to_owned())
            .spawn(run)?;
        Ok(())
    }

    /// Returns the threads that are blocked.
    pub fn blocked(&self) -> Vec<BlockedThread> {
        let observed = self.observed();
        let blocked = |seen: &ThreadObservation| {
            let name = seen.thread.upgrade()?.name.clone();
            let silence = seen.silence;
            (silence >= BLOCKED_AFTER).then_some(BlockedThread { name, silence })
        };
        observed.threads.iter().filter_map(blocked).collect()
    }

    /// Returns `true` unless a thread has been blocked for so long that the process has to be restarted.
    pub fn is_alive(&self) -> bool {
        let failed = |blocked: &BlockedThread| blocked.silence >= FAILED_AFTER;
        !self.blocked().iter().any(failed)
    }

    /// Compares all beats with the last ones, and logs the threads that have become blocked or beat again. A slow log delays
    /// this thread alone: nothing is written under the lock that `/livez` and the metrics take.
    fn observe(&self, now: Instant) {
        for change in self.note_beats(now) {
            match change {
                ThreadChange::Blocked(thread) => tracing::error!(
                    thread = thread.name.as_str(),
                    "a thread does not respond: its connections wait. If that lasts for 10 s, /livez fails"
                ),
                ThreadChange::Responds(thread) => {
                    tracing::warn!(thread = thread.name.as_str(), "the thread responds again")
                }
            }
        }
    }

    /// Stores the silence of each thread. Returns what has changed.
    fn note_beats(&self, now: Instant) -> Vec<ThreadChange> {
        let mut observed = self.observed();
        let gap = observed
            .last
            .map_or(Duration::ZERO, |last| now.duration_since(last));
        observed.last = Some(now);
        observed
            .threads
            .retain(|seen| seen.thread.strong_count() > 0);
        let mut changes = Vec::new();
        for seen in &mut observed.threads {
            let Some(thread) = seen.thread.upgrade() else {
                continue;
            };
            let was_blocked = seen.silence >= BLOCKED_AFTER;
            seen.observe(thread.beats.load(Ordering::Relaxed), gap, now);
            if !was_blocked && seen.silence >= BLOCKED_AFTER {
                self.shared.blockages.fetch_add(1, Ordering::Relaxed);
                changes.push(ThreadChange::Blocked(thread));
            } else if was_blocked && seen.silence.is_zero() {
                changes.push(ThreadChange::Responds(thread));
            }
        }
        changes
    }

    fn observed(&self) -> MutexGuard<'_, ObservedThreads> {
        self.shared
            .observed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadObservation {
    fn observe(&mut self, beats: u64, gap: Duration, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if beats != self.beats {
            self.beats = beats;
            self.since = Some(now);
        } else if gap >= OBSERVATION_GAP {
            // The time of the gap does not count.
            self.since = now.checked_sub(self.silence);
        } else {
            self.since = Some(since);
        }
        self.silence = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
    }
}

impl Heartbeat {
    /// Beats for as long as the runtime runs it.
    pub async fn run(self) {
        let mut ticks = interval(BEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.beat();
        }
    }

    fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
