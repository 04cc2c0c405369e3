//! Quotas of one limit, by subject. A quota is one number, the theoretical arrival time of its next request (GCRA); once
//! that lies in the past, the quota is full and need not be remembered. The number of quotas is bounded.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{clock::Clock as _, nanos::Nanos, state::StateStore};
use toolgate_data_core::policy::BucketKey;

use super::LimitClock;

const SHARDS: usize = 16;

/// Maximum number of quotas in a shard. Beyond it those nearest to being full are forgotten, also if they are in use.
const MAX_PER_SHARD: usize = 4_096;

/// Number of quotas in a shard up to which full quotas are not looked for.
const MIN_SWEEP: usize = 64;

/// Quotas of one limit. Times are nanoseconds after the origin of the clock.
#[derive(Default)]
pub(super) struct Buckets {
    hasher: RandomState,
    shards: [Mutex<BucketShard>; SHARDS],
}

#[derive(Default)]
struct BucketShard {
    arrivals: HashMap<BucketKey, u64>,
    /// Number of quotas at which full ones are looked for.
    sweep_at: usize,
}

/// Quotas as seen by one limiter, which counts time from its creation.
pub(super) struct BucketStore {
    buckets: Arc<Buckets>,
    clock: LimitClock,
    start: u64,
}

impl Buckets {
    /// Returns the number of remembered quotas.
    pub(super) fn len(&self) -> usize {
        let shards = self.shards.iter();
        let counts = shards.map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.arrivals.len()
        });
        counts.sum()
    }
}

impl BucketStore {
    pub(super) fn new(buckets: Arc<Buckets>, clock: LimitClock) -> Self {
        let start = nanos(&clock);
        Self {
            buckets,
            clock,
            start,
        }
    }
}

impl StateStore for BucketStore {
    type Key = BucketKey;

    fn measure_and_replace<T, F, E>(&self, key: &BucketKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = usize::try_from(self.buckets.hasher.hash_one(key) % SHARDS as u64);
        let shard = &self.buckets.shards[hash.unwrap_or_default()];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = shard.arrivals.get_mut(key) {
            let before = Nanos::from(arrival.saturating_sub(self.start));
            let (decision, next) = decide(Some(before))?;
            *arrival = next.as_u64().saturating_add(self.start);
            return Ok(decision);
        }
        let (decision, next) = decide(None)?;
        shard.make_room(&self.clock);
        let arrival = next.as_u64().saturating_add(self.start);
        shard.arrivals.insert(key.clone(), arrival);
        Ok(decision)
    }
}

impl BucketShard {
    /// Forgets full quotas, at a cost that is spread over the insertions. If all are in use and there are too many,
    /// forgets the ones nearest to being full.
    fn make_room(&mut self, clock: &LimitClock) {
        if self.arrivals.len() < self.sweep_at.max(MIN_SWEEP) {
            return;
        }
        let now = nanos(clock);
        self.arrivals.retain(|_, arrival| *arrival > now);
        if self.arrivals.len() >= MAX_PER_SHARD {
            let mut arrivals: Vec<u64> = self.arrivals.values().copied().collect();
            let (_, nth, _) = arrivals.select_nth_unstable(MAX_PER_SHARD / 8);
            let limit = *nth;
            self.arrivals.retain(|_, arrival| *arrival > limit);
        }
        self.sweep_at = (self.arrivals.len() * 2).clamp(MIN_SWEEP, MAX_PER_SHARD);
    }
}

fn nanos(clock: &LimitClock) -> u64 {
    u64::try_from(clock.now().as_nanos()).unwrap_or(u64::MAX)
}
