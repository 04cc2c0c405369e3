//! A cancellation finds its call, and no other.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::fixture::{HANG_GUARD, claims};

const SOON: Duration = Duration::from_millis(100);

fn enter(
    calls: &CancellableCalls,
    session: u32,
    id: &str,
) -> Result<CancellableCallGuard, Refusal> {
    calls.enter(&claims(session), BudgetOwner::of(&"ada"), id)
}

#[tokio::test]
async fn a_call_is_cancelled_by_session_and_id() {
    let calls = CancellableCalls::new(CANCELLABLE_CALLS_PER_PRINCIPAL);
    let call = enter(&calls, 1, "1").unwrap();
    // Another session, and an id of another JSON type.
    assert!(!calls.cancel(&claims(2), "1"));
    assert!(!calls.cancel(&claims(1), "\"1\""));
    assert!(timeout(SOON, call.cancelled()).await.is_err());
    assert!(calls.cancel(&claims(1), "1"));
    assert!(timeout(HANG_GUARD, call.cancelled()).await.is_ok());
}

#[tokio::test]
async fn a_cancellation_before_the_wait_is_not_lost() {
    let calls = CancellableCalls::new(CANCELLABLE_CALLS_PER_PRINCIPAL);
    let call = enter(&calls, 1, "1").unwrap();
    assert!(calls.cancel(&claims(1), "1"));
    assert!(timeout(HANG_GUARD, call.cancelled()).await.is_ok());
}

#[tokio::test]
async fn a_request_id_is_free_again_after_its_call() {
    let calls = CancellableCalls::new(CANCELLABLE_CALLS_PER_PRINCIPAL);
    let call = enter(&calls, 1, "1").unwrap();
    assert!(matches!(
        enter(&calls, 1, "1"),
        Err(Refusal::InvalidRequest(_))
    ));
    drop(call);
    assert_eq!(calls.count(), 0);
    assert!(!calls.cancel(&claims(1), "1"));
    assert!(enter(&calls, 1, "1").is_ok());
}

#[test]
fn in_flight_calls_are_limited_per_principal_under_load() {
    let calls = CancellableCalls::new(2);
    let id = |number: usize| number.to_string();
    let uncounted: Vec<_> = (0..4).map(|n| enter(&calls, 1, &id(n)).unwrap()).collect();
    // The number of sessions does not matter.
    let counted = [
        enter(&calls, 1, "a").unwrap(),
        enter(&calls, 2, "a").unwrap(),
    ];
    let refused = enter(&calls, 3, "a").unwrap_err();
    assert_eq!(refused, Refusal::TooManyOpen("calls"));
    assert_eq!(calls.count(), 6, "a refusal takes nothing");
    let bob = calls
        .enter(&claims(9), BudgetOwner::of(&"bob"), "a")
        .unwrap();
    // A refused id costs no quota.
    assert!(
        calls
            .enter(&claims(9), BudgetOwner::of(&"bob"), "a")
            .is_err()
    );
    assert_eq!(calls.principals.owners(), 2);
    drop(bob);
    assert_eq!(calls.principals.owners(), 1);
    drop((uncounted, counted));
    assert_eq!((calls.count(), calls.principals.owners()), (0, 0));
}

#[tokio::test]
async fn a_handle_cancels_its_call_without_the_id() {
    let calls = CancellableCalls::new(CANCELLABLE_CALLS_PER_PRINCIPAL);
    let (call, other) = (
        enter(&calls, 1, "1").unwrap(),
        enter(&calls, 1, "2").unwrap(),
    );
    let handle = call.cancel_handle();
    handle.cancel();
    assert!(timeout(SOON, call.cancelled()).await.is_ok());
    assert!(timeout(SOON, other.cancelled()).await.is_err());
    calls.cancel(&claims(1), "1");
    assert!(
        timeout(SOON, handle.cancelled()).await.is_ok(),
        "either way"
    );
}

#[tokio::test]
async fn a_handle_of_a_call_that_has_ended_cancels_no_later_call() {
    let calls = CancellableCalls::new(CANCELLABLE_CALLS_PER_PRINCIPAL);
    let handle = enter(&calls, 1, "1").unwrap().cancel_handle();
    let later = enter(&calls, 1, "1").unwrap();
    handle.cancel();
    assert!(timeout(SOON, later.cancelled()).await.is_err());
}
