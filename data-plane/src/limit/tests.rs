//! Tests that a token gets its quota, no more, and releases it.

use toolgate_model::Subject;

use super::*;

const A: TokenHash = TokenHash([1; 32]);
const B: TokenHash = TokenHash([2; 32]);

fn alice() -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: Subject::Organization,
    }
}

fn limiter(change: impl FnOnce(&mut RequestLimits)) -> (Limiter, Instant) {
    let mut limits = RequestLimits::default();
    change(&mut limits);
    let origin = toolgate_runtime::clock::system().monotonic();
    (Limiter::new(limits, origin), origin)
}

#[test]
fn one_token_cannot_take_the_places_of_another() {
    let (limiter, now) = limiter(|limits| limits.requests_per_token = 2);
    let first = limiter.enter(&A, &alice(), now).unwrap();
    let _second = limiter.enter(&A, &alice(), now).unwrap();
    assert_eq!(
        limiter.enter(&A, &alice(), now).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
    assert!(limiter.enter(&B, &alice(), now).is_ok());
    drop(first);
    assert!(limiter.enter(&A, &alice(), now).is_ok());
}

#[test]
fn all_together_are_bounded_and_places_come_back() {
    let (limiter, now) = limiter(|limits| limits.requests = 1);
    let held = limiter.enter(&A, &alice(), now).unwrap();
    assert_eq!(
        limiter.enter(&B, &alice(), now).unwrap_err(),
        Refusal::Overloaded
    );
    drop(held);
    assert_eq!(limiter.running(), 0);
    assert!(limiter.enter(&B, &alice(), now).is_ok());
}

#[test]
fn a_burst_passes_and_then_the_rate_applies() {
    let (limiter, now) = limiter(|limits| {
        limits.rate_per_token = Some(10);
        limits.burst_per_token = 5;
    });
    let passed = (0..20)
        .filter(|_| limiter.enter(&A, &alice(), now).is_ok())
        .count();
    assert_eq!(passed, 5);
    assert!(
        limiter.enter(&B, &alice(), now).is_ok(),
        "another token has its own"
    );
    let later = now + Duration::from_secs(1);
    let passed = (0..20)
        .filter(|_| limiter.enter(&A, &alice(), later).is_ok())
        .count();
    assert_eq!(passed, 5, "the burst is never saved up beyond itself");
    let soon = later + Duration::from_millis(101);
    assert!(limiter.enter(&A, &alice(), soon).is_ok());
    assert_eq!(
        limiter.enter(&A, &alice(), soon).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
}

#[tokio::test]
async fn what_a_token_has_running_ends_with_it_and_nothing_else_does() {
    let (limiter, now) = limiter(|_| {});
    let (of_a, of_b) = (
        limiter.enter(&A, &alice(), now).unwrap(),
        limiter.enter(&B, &alice(), now),
    );
    let stream = of_a.over();
    limiter.end(&A);
    stream.await;
    of_a.ended().await;
    assert!(of_a.is_over() && !of_b.unwrap().is_over());
    // A token that is valid again starts from zero.
    assert!(!limiter.enter(&A, &alice(), now).unwrap().is_over());
}

#[test]
fn tokens_that_are_gone_are_forgotten() {
    let (limiter, now) = limiter(|_| {});
    let held = limiter.enter(&A, &alice(), now).unwrap();
    drop(limiter.enter(&B, &alice(), now));
    limiter.retain(|_| false);
    let count = |limiter: &Limiter| {
        limiter
            .lanes
            .iter()
            .map(|s| s.read().unwrap().len())
            .sum::<usize>()
    };
    assert_eq!(count(&limiter), 0);
    assert!(held.is_over(), "what runs is told to end");
    assert_eq!(limiter.running(), 1, "and counts until it has");
    drop(held);
    assert_eq!(limiter.running(), 0);
}

#[test]
fn a_principal_has_no_more_memory_by_having_more_tokens() {
    let (limiter, now) = limiter(|_| {});
    let mut bob = alice();
    bob.org = "other".parse().unwrap();
    let of = |token: &TokenHash, principal: &Principal| {
        let place = limiter.enter(token, principal, now);
        place.unwrap().holder()
    };
    assert_eq!(of(&A, &alice()), of(&B, &alice()));
    assert_ne!(of(&A, &alice()), of(&TokenHash([3; 32]), &bob));
}
