//! How much of us one token, and all of them together, may take at a time. Looked at before a body is read, so that
//! refusing costs little. A token that is no longer good ends what it has running, which is known here.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use toolgate_data_core::Refusal;
use toolgate_model::{Principal, TokenHash};
use toolgate_runtime::budget::Holder;

/// Bounds of requests.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Requests at a time, of everybody.
    pub requests: u32,
    /// Requests at a time, of one token.
    pub requests_per_token: u32,
    /// Requests per second of one token, if that is bounded.
    pub rate_per_token: Option<u32>,
    /// How many may come at once before the rate applies.
    pub burst_per_token: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            requests: 16_384,
            requests_per_token: 2_048,
            rate_per_token: None,
            burst_per_token: 100,
        }
    }
}

const SHARDS: usize = 64;

/// Who is doing how much.
pub(crate) struct Limiter {
    limits: RequestLimits,
    running: Arc<AtomicU32>,
    lanes: Box<[Shard]>,
    origin: Instant,
}

/// Some of the tokens.
type Shard = RwLock<HashMap<TokenHash, Arc<Lane>>>;

/// One token's share.
#[derive(Debug)]
struct Lane {
    /// Whose memory it is that requests take: a principal has no more of it by having more tokens.
    holder: Holder,
    running: AtomicU32,
    /// When the token's requests so far would have arrived at its rate, in microseconds after the origin.
    arrival: AtomicU64,
    /// Whether the token is no longer good.
    over: AtomicBool,
    ended: Notify,
}

/// Leave for one request, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<AtomicU32>,
    lane: Arc<Lane>,
}

impl Limiter {
    pub(crate) fn new(limits: RequestLimits, origin: Instant) -> Self {
        let lanes = std::iter::repeat_with(RwLock::default).take(SHARDS);
        Self {
            limits,
            running: Arc::default(),
            lanes: lanes.collect(),
            origin,
        }
    }

    /// Leave for one request of this token, which is this principal's.
    pub(crate) fn enter(
        &self,
        token: &TokenHash,
        principal: &Principal,
        now: Instant,
    ) -> Result<Place, Refusal> {
        let lane = self.lane(token, principal);
        if let Some(rate) = self.limits.rate_per_token {
            let now = now.saturating_duration_since(self.origin);
            lane.pass(now, rate, self.limits.burst_per_token)?;
        }
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded);
        }
        let place = Place {
            all: Arc::clone(&self.running),
            lane,
        };
        // From here on the place gives back what was taken, also when it is refused.
        let before = place.lane.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limits.requests_per_token {
            return Err(Refusal::TooManyRequests(1));
        }
        Ok(place)
    }

    /// How many requests are being served.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Ends whatever tokens have running that are not to be kept, and forgets them.
    pub(crate) fn retain(&self, keep: impl Fn(&TokenHash) -> bool) {
        for shard in &self.lanes {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|token, lane| {
                let kept = keep(token);
                if !kept {
                    lane.end();
                }
                kept
            });
        }
    }

    /// Ends whatever this token has running.
    pub(crate) fn end(&self, token: &TokenHash) {
        let mut shard = self
            .shard(token)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = shard.remove(token) {
            lane.end();
        }
    }

    fn shard(&self, token: &TokenHash) -> &Shard {
        // A keyed hash is as good as random: its first byte chooses well.
        &self.lanes[usize::from(token.0[0]) % SHARDS]
    }

    fn lane(&self, token: &TokenHash, principal: &Principal) -> Arc<Lane> {
        let shard = self.shard(token);
        let known = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = known.get(token) {
            return Arc::clone(lane);
        }
        drop(known);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let lane = shard.entry(*token);
        Arc::clone(lane.or_insert_with(|| Arc::new(Lane::of(principal))))
    }
}

impl Lane {
    fn of(principal: &Principal) -> Self {
        Self {
            holder: Holder::of(principal),
            running: AtomicU32::default(),
            arrival: AtomicU64::default(),
            over: AtomicBool::default(),
            ended: Notify::default(),
        }
    }

    /// One request, unless the token has used up its rate and its burst.
    fn pass(&self, now: Duration, rate: u32, burst: u32) -> Result<(), Refusal> {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let each = 1_000_000 / u64::from(rate.max(1));
        let slack = each.saturating_mul(u64::from(burst));
        let step = |arrival: u64| {
            let next = arrival.max(now).saturating_add(each);
            (next <= now.saturating_add(slack)).then_some(next)
        };
        let taken = self
            .arrival
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        taken.map(drop).map_err(|arrival| {
            let wait = arrival.saturating_add(each).saturating_sub(now + slack);
            let seconds = wait.div_ceil(1_000_000).max(1);
            Refusal::TooManyRequests(u32::try_from(seconds).unwrap_or(u32::MAX))
        })
    }
}

impl Lane {
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    async fn ended(&self) {
        // Made before looking: from here on no end is missed.
        let ended = self.ended.notified();
        if !self.over.load(Ordering::Acquire) {
            ended.await;
        }
    }
}

impl Place {
    /// Whose memory its request takes.
    pub(crate) fn holder(&self) -> Holder {
        self.lane.holder
    }

    /// Ends when the token that it was given to is no longer good.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + '_ {
        self.lane.ended()
    }

    /// The same for what outlives the place.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        let lane = Arc::clone(&self.lane);
        async move { lane.ended().await }
    }

    /// Whether the token is no longer good.
    pub(crate) fn is_over(&self) -> bool {
        self.lane.over.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.lane.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
