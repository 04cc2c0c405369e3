//! Tests that a proof gets its quota, no more, and releases it.

use std::time::Duration;

use toolgate_data_core::{Authn, AuthnKind, Grant};
use toolgate_model::{AllowList, Principal, PrincipalSubject, Timestamp, Uid};

use super::*;

const A: AuthnId = AuthnId([1; 32]);
const B: AuthnId = AuthnId([2; 32]);

fn alice() -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::AllCallers,
    }
}

fn caller(id: AuthnId, principal: &Principal) -> Caller {
    let grant = Grant::new(&AllowList::All, &AllowList::All);
    let authn = Authn {
        id,
        kind: AuthnKind::ApiToken,
        expires: None,
    };
    Caller::new(Arc::new(principal.clone()), Arc::new(grant), authn)
}

/// Caller with this token of an identity provider.
fn external(number: usize) -> Caller {
    external_of("ada", number)
}

/// The same, of another subject.
fn external_of(subject: &str, number: usize) -> Caller {
    let mut id = [0; 32];
    id[8..16].copy_from_slice(&number.to_be_bytes());
    let principal = Principal {
        subject: PrincipalSubject::External {
            provider: "corp".parse().unwrap(),
            uid: Uid::of(&"corp"),
            subject: subject.into(),
        },
        ..alice()
    };
    let caller = caller(AuthnId(id), &principal);
    let authn = Authn {
        kind: AuthnKind::IdentityProvider,
        ..*caller.authn()
    };
    Caller::new(
        Arc::clone(caller.principal()),
        Arc::clone(caller.grant()),
        authn,
    )
}

fn a() -> Caller {
    caller(A, &alice())
}

fn b() -> Caller {
    caller(B, &alice())
}

fn limiter(change: impl FnOnce(&mut RequestLimits)) -> (RequestLimiter, Instant) {
    let mut limits = RequestLimits::default();
    change(&mut limits);
    let origin = toolgate_runtime::clock::system().monotonic();
    (RequestLimiter::new(limits, origin), origin)
}

#[test]
fn request_permits_are_limited_per_token() {
    let (limiter, _) = limiter(|limits| limits.requests_per_token = 2);
    let first = limiter.acquire(&a()).unwrap();
    let _second = limiter.acquire(&a()).unwrap();
    assert_eq!(
        limiter.acquire(&a()).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
    assert!(limiter.acquire(&b()).is_ok());
    drop(first);
    assert!(limiter.acquire(&a()).is_ok());
}

#[test]
fn all_tokens_of_one_subject_of_an_identity_provider_share_the_limits_per_token() {
    let (limiter, now) = limiter(|limits| {
        limits.requests_per_token = 2;
        limits.rate_per_token = Some(1);
        limits.burst_per_token = 3;
    });
    let held = limiter.acquire(&external(1)).unwrap();
    let _second = limiter.acquire(&external(2)).unwrap();
    let refused = limiter.acquire(&external(3)).unwrap_err();
    assert_eq!(refused, Refusal::TooManyRequests(1));
    assert!(limiter.acquire(&external_of("bob", 70_000)).is_ok());
    drop(held);
    assert!(limiter.acquire(&external(3)).is_ok());

    let passed = |range: std::ops::Range<usize>, check: &dyn Fn(&Caller) -> bool| {
        range.filter(|number| check(&external(*number))).count()
    };
    let rate = |caller: &Caller| limiter.check_rate(caller, now).is_ok();
    let release = |caller: &Caller| limiter.admits_release(caller, now);
    assert_eq!(passed(10..30, &rate), 3);
    assert_eq!(passed(10..500, &release), 100);
    // So many tokens that their proofs are dropped meanwhile.
    assert_eq!(passed(0..20 * MIN_SWEEP, &rate), 0);
    assert!(
        rate(&external_of("bob", 70_000)),
        "another subject has its own"
    );
    assert_eq!(limiter.principals.len(), 2);
}

#[test]
fn subjects_of_identity_providers_that_have_no_proof_leave_no_state() {
    let (limiter, _) = limiter(|_| {});
    let used = external_of("used", 0);
    let permit = limiter.acquire(&used).unwrap();
    let usages = &limiter.principals;
    for number in 1..40_000 {
        let caller = external_of(&format!("s{number}"), number);
        drop(usages.get(caller.principal()));
    }
    assert!(usages.len() <= 16_384, "{}", usages.len());
    assert!(Arc::ptr_eq(
        &usages.get(used.principal()),
        &permit.usage.quota
    ));
}

#[test]
fn the_total_of_permits_is_bounded_and_permits_are_released() {
    let (limiter, _) = limiter(|limits| limits.requests = 1);
    let held = limiter.acquire(&a()).unwrap();
    assert_eq!(limiter.acquire(&b()).unwrap_err(), Refusal::Overloaded);
    drop(held);
    assert_eq!(limiter.running(), 0);
    assert!(limiter.acquire(&b()).is_ok());
}

#[test]
fn a_burst_passes_and_then_the_rate_applies() {
    let (limiter, now) = limiter(|limits| {
        limits.rate_per_token = Some(10);
        limits.burst_per_token = 5;
    });
    let passed = (0..20)
        .filter(|_| limiter.check_rate(&a(), now).is_ok())
        .count();
    assert_eq!(passed, 5);
    assert!(
        limiter.check_rate(&b(), now).is_ok(),
        "another token has its own"
    );
    let later = now + Duration::from_secs(1);
    let passed = (0..20)
        .filter(|_| limiter.check_rate(&a(), later).is_ok())
        .count();
    assert_eq!(passed, 5, "the burst is never saved up beyond itself");
    let soon = later + Duration::from_millis(101);
    assert!(limiter.check_rate(&a(), soon).is_ok());
    assert_eq!(
        limiter.check_rate(&a(), soon).unwrap_err(),
        Refusal::TooManyRequests(1)
    );
}

#[test]
fn requests_that_release_resources_have_a_rate_of_their_own_per_token() {
    let (limiter, now) = limiter(|limits| {
        limits.rate_per_token = Some(1);
        limits.burst_per_token = 1;
    });
    let passed = |caller: &Caller, at: Instant| {
        let tries = 0..1000;
        tries.filter(|_| limiter.admits_release(caller, at)).count()
    };
    assert_eq!(passed(&a(), now), 100);
    assert_eq!(passed(&b(), now), 100, "another token has its own");
    assert_eq!(passed(&a(), now + Duration::from_secs(1)), 20);
    assert!(limiter.check_rate(&a(), now).is_ok(), "and apart from it");
}

#[test]
fn at_most_ten_events_a_second_are_about_refused_session_ids_of_one_token() {
    let (limiter, _) = limiter(|_| {});
    let admitted = |caller: &Caller, now: u64| {
        let permit = limiter.acquire(caller).unwrap();
        let events = permit.session_events();
        let tries = 0..1000;
        tries.filter(|_| events.admits(Timestamp(now))).count()
    };
    assert_eq!((admitted(&a(), 5_000), admitted(&a(), 5_999)), (10, 0));
    assert_eq!((admitted(&b(), 5_999), admitted(&a(), 6_000)), (10, 10));
}

#[tokio::test]
async fn revoking_a_token_ends_only_its_requests() {
    let (limiter, _) = limiter(|_| {});
    let (of_a, of_b) = (limiter.acquire(&a()).unwrap(), limiter.acquire(&b()));
    let stream = of_a.authn_ended_static();
    limiter.end_authn(&A);
    stream.await;
    of_a.authn_ended().await;
    assert!(of_a.is_authn_ended() && !of_b.unwrap().is_authn_ended());
    // A token that is valid again starts from zero.
    assert!(!limiter.acquire(&a()).unwrap().is_authn_ended());
}

#[test]
fn removed_tokens_leave_no_state() {
    let (limiter, _) = limiter(|_| {});
    let held = limiter.acquire(&a()).unwrap();
    drop(limiter.acquire(&b()));
    limiter.retain(|_| false);
    let count = |limiter: &RequestLimiter| {
        limiter
            .shards
            .iter()
            .map(|s| s.read().unwrap().proofs.len())
            .sum::<usize>()
    };
    assert_eq!(count(&limiter), 0);
    assert!(held.is_authn_ended(), "what runs is told to end");
    assert_eq!(limiter.running(), 1, "and counts until it has");
    drop(held);
    assert_eq!(limiter.running(), 0);
}

#[test]
fn tokens_of_one_principal_share_one_memory_budget() {
    let (limiter, _) = limiter(|_| {});
    let mut bob = alice();
    bob.org = "other".parse().unwrap();
    let of = |id: AuthnId, principal: &Principal| {
        let place = limiter.acquire(&caller(id, principal));
        place.unwrap().budget_owner()
    };
    assert_eq!(of(A, &alice()), of(B, &alice()));
    assert_ne!(of(A, &alice()), of(AuthnId([3; 32]), &bob));
}

#[tokio::test]
async fn tokens_of_identity_providers_that_are_not_in_use_leave_no_state() {
    let (limiter, _) = limiter(|_| {});
    // All are in one shard.
    let used = limiter.acquire(&external(0)).unwrap();
    let mut listed = AuthnId([0; 32]);
    listed.0[31] = 1;
    drop(limiter.acquire(&caller(listed, &alice())));
    for number in 1..20 * MIN_SWEEP {
        drop(limiter.acquire(&external(number)));
    }
    let (count, is_kept) = {
        let shard = limiter.shard(&listed).read().unwrap();
        (shard.proofs.len(), shard.proofs.contains_key(&listed))
    };
    assert!(count <= MIN_SWEEP, "{count}");
    assert!(is_kept, "a view tells when it is gone");
    // The end of what it admitted reaches a request that has run all the time.
    limiter.end_authn(&external(0).authn().id);
    used.authn_ended().await;
}
