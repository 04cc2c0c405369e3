//! Tests of the state of rate limits, with a clock that is advanced by hand.

use proptest::prelude::*;
use toolgate_model::{Principal, PrincipalSubject, RateLimit, RateLimitKey, Snapshot, Timestamp};
use toolgate_runtime::clock::ManualClock;

use super::*;

/// Ten requests per minute, five of them at once.
fn filter() -> RateLimitFilter {
    RateLimitFilter {
        id: Digest::of_bytes(b"limit"),
        per: RateLimitKey::Principal,
        limit: Arc::new(RateLimit {
            per: RateLimitKey::Principal,
            requests: NonZeroU32::new(10).unwrap(),
            interval: Duration::from_secs(60),
            burst: NonZeroU32::new(5),
            tools: Vec::new(),
        }),
    }
}

fn user(id: usize) -> BucketKey {
    BucketKey::Principal(Arc::new(Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::User(format!("user-{id}").parse().unwrap()),
    }))
}

fn registry() -> (RateLimiter, Arc<ManualClock>) {
    let clock = ManualClock::new(Timestamp(0));
    let shared: SharedClock = clock.clone();
    (RateLimiter::new(shared), clock)
}

fn proxies(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn permitted(registry: &RateLimiter, of: usize, serving: u32) -> usize {
    let ask = |_: &usize| {
        registry
            .check(&filter(), &user(1), proxies(serving))
            .is_ok()
    };
    (0..of).filter(ask).count()
}

#[test]
fn a_quota_permits_its_burst_and_then_its_rate() {
    let (registry, clock) = registry();
    assert_eq!(permitted(&registry, 20, 1), 5);
    let refused = registry.check(&filter(), &user(1), proxies(1));
    let limit = |seconds| Refusal::RateLimited {
        per: RateLimitKey::Principal,
        seconds,
    };
    assert_eq!(refused, Err(limit(6)));
    clock.advance(Duration::from_millis(4_500));
    assert_eq!(
        registry.check(&filter(), &user(1), proxies(1)),
        Err(limit(2))
    );
    assert_eq!(registry.check(&filter(), &user(2), proxies(1)), Ok(()));
    let mut total = 0;
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        total += permitted(&registry, 3, 1);
    }
    assert_eq!(total, 100, "ten in each of ten minutes");
}

#[test]
fn a_fleet_divides_the_rate_and_the_burst() {
    let (registry, clock) = registry();
    assert_eq!(permitted(&registry, 20, 2), 2);
    let mut total = 0;
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        total += permitted(&registry, 3, 2);
    }
    assert_eq!(total, 50, "half of ten in each of ten minutes");
}

#[test]
fn a_changed_number_of_proxies_permits_no_new_burst() {
    let (registry, clock) = registry();
    clock.advance(Duration::from_secs(3));
    assert_eq!(permitted(&registry, 20, 1), 5);
    for serving in [2, 3, 1, 2, 1] {
        assert_eq!(permitted(&registry, 20, serving), 0, "{serving} proxies");
    }
    clock.advance(Duration::from_secs(6));
    assert_eq!(permitted(&registry, 20, 1), 1);
}

#[test]
fn full_quotas_are_forgotten_and_the_number_of_quotas_is_bounded() {
    let (registry, clock) = registry();
    for id in 0..5_000 {
        registry.check(&filter(), &user(id), proxies(1)).unwrap();
        // Each quota is full again after six seconds, so that at most six are in use.
        clock.advance(Duration::from_secs(1));
    }
    assert!(registry.quotas() <= 16 * 64, "{}", registry.quotas());
    for id in 5_000..120_000 {
        registry.check(&filter(), &user(id), proxies(1)).unwrap();
    }
    assert!(registry.quotas() <= 16 * 4_096, "{}", registry.quotas());
    assert!(registry.quotas() >= 16 * 2_048, "{}", registry.quotas());
}

#[test]
fn limits_that_are_no_longer_configured_leave_no_state() {
    let (registry, _clock) = registry();
    permitted(&registry, 1, 1);
    assert_eq!(registry.quotas(), 1);
    let (view, _) = View::build(&Snapshot::default(), None);
    registry.retain(&view);
    assert_eq!(registry.quotas(), 0);
}

/// Reference model: the theoretical arrival times of all subjects, of which none is forgotten.
#[derive(Default)]
struct ReferenceModel {
    now: u128,
    arrivals: HashMap<usize, u128>,
}

impl ReferenceModel {
    fn permits(&mut self, id: usize, serving: u32) -> bool {
        let part = DividedQuota::new(&filter().limit, proxies(serving));
        let period = part.period.as_nanos();
        let tolerance = period * u128::from(part.burst.get() - 1);
        let arrival = self.arrivals.entry(id).or_insert(self.now);
        let permitted = *arrival <= self.now + tolerance;
        if permitted {
            *arrival = (*arrival).max(self.now) + period;
        }
        permitted
    }
}

proptest! {
    /// Quotas that are forgotten because they are full, and divisions that change, make no difference to a decision.
    #[test]
    fn every_decision_equals_that_of_a_model_that_forgets_nothing(
        steps in proptest::collection::vec((0u64..400, 0usize..1_500, 1u32..4), 1..4_000),
        serving_changes in any::<bool>(),
    ) {
        let (registry, clock) = registry();
        let mut model = ReferenceModel::default();
        for (passed, id, serving) in steps {
            let serving = if serving_changes { serving } else { 1 };
            // A few subjects come often, so that their quotas are exhausted.
            let id = if id % 2 == 0 { id % 8 } else { id };
            clock.advance(Duration::from_millis(passed));
            model.now += u128::from(passed) * 1_000_000;
            let permitted = registry.check(&filter(), &user(id), proxies(serving)).is_ok();
            prop_assert_eq!(permitted, model.permits(id, serving));
        }
    }
}
