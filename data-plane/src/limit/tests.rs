//! Tests that a token gets its quota, no more, and releases it.

use toolgate_model::TokenSubject;

use super::*;

const A: TokenHash = TokenHash([1; 32]);
const B: TokenHash = TokenHash([2; 32]);

fn alice() -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: TokenSubject::Organization,
    }
}

fn limiter(change: impl FnOnce(&mut RequestLimits)) -> (RequestLimiter, Instant) {
    let mut limits = RequestLimits::default();
    change(&mut limits);
    let origin = toolgate_runtime::clock::system().monotonic();
    (RequestLimiter::new(limits, origin), origin)
}

#[test]
fn request_permits_are_limited_per_token() {
    let (limiter, now) = limiter(|limits| limits.requests_per_token = 2);
    let first = limiter.acquire(&A, &alice(), now).unwrap();
    let _second = limiter.acquire(&A, &alice(), now).unwrap();
    assert_eq!(
        limiter.acquire(&A, &alice(), now).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
    assert!(limiter.acquire(&B, &alice(), now).is_ok());
    drop(first);
    assert!(limiter.acquire(&A, &alice(), now).is_ok());
}

#[test]
fn the_total_of_permits_is_bounded_and_permits_are_released() {
    let (limiter, now) = limiter(|limits| limits.requests = 1);
    let held = limiter.acquire(&A, &alice(), now).unwrap();
    assert_eq!(
        limiter.acquire(&B, &alice(), now).unwrap_err(),
        Refusal::Overloaded
    );
    drop(held);
    assert_eq!(limiter.running(), 0);
    assert!(limiter.acquire(&B, &alice(), now).is_ok());
}

#[test]
fn a_burst_passes_and_then_the_rate_applies() {
    let (limiter, now) = limiter(|limits| {
        limits.rate_per_token = Some(10);
        limits.burst_per_token = 5;
    });
    let passed = (0..20)
        .filter(|_| limiter.acquire(&A, &alice(), now).is_ok())
        .count();
    assert_eq!(passed, 5);
    assert!(
        limiter.acquire(&B, &alice(), now).is_ok(),
        "another token has its own"
    );
    let later = now + Duration::from_secs(1);
    let passed = (0..20)
        .filter(|_| limiter.acquire(&A, &alice(), later).is_ok())
        .count();
    assert_eq!(passed, 5, "the burst is never saved up beyond itself");
    let soon = later + Duration::from_millis(101);
    assert!(limiter.acquire(&A, &alice(), soon).is_ok());
    assert_eq!(
        limiter.acquire(&A, &alice(), soon).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
}

#[tokio::test]
async fn revoking_a_token_ends_only_its_requests() {
    let (limiter, now) = limiter(|_| {});
    let (of_a, of_b) = (
        limiter.acquire(&A, &alice(), now).unwrap(),
        limiter.acquire(&B, &alice(), now),
    );
    let stream = of_a.token_ended_static();
    limiter.end_token(&A);
    stream.await;
    of_a.token_ended().await;
    assert!(of_a.is_token_ended() && !of_b.unwrap().is_token_ended());
    // A token that is valid again starts from zero.
    assert!(!limiter.acquire(&A, &alice(), now).unwrap().is_token_ended());
}

#[test]
fn removed_tokens_leave_no_state() {
    let (limiter, now) = limiter(|_| {});
    let held = limiter.acquire(&A, &alice(), now).unwrap();
    drop(limiter.acquire(&B, &alice(), now));
    limiter.retain(|_| false);
    let count = |limiter: &RequestLimiter| {
        limiter
            .shards
            .iter()
            .map(|s| s.read().unwrap().len())
            .sum::<usize>()
    };
    assert_eq!(count(&limiter), 0);
    assert!(held.is_token_ended(), "what runs is told to end");
    assert_eq!(limiter.running(), 1, "and counts until it has");
    drop(held);
    assert_eq!(limiter.running(), 0);
}

#[test]
fn tokens_of_one_principal_share_one_memory_budget() {
    let (limiter, now) = limiter(|_| {});
    let mut bob = alice();
    bob.org = "other".parse().unwrap();
    let of = |token: &TokenHash, principal: &Principal| {
        let place = limiter.acquire(token, principal, now);
        place.unwrap().budget_owner()
    };
    assert_eq!(of(&A, &alice()), of(&B, &alice()));
    assert_ne!(of(&A, &alice()), of(&TokenHash([3; 32]), &bob));
}
