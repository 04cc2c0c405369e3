//! A suspended call is handed out once, to its own principal, and dropped on the runtime of calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use toolgate_runtime::clock::ManualClock;

use super::*;
use crate::fixture::{NOW, principal, slug, until};

/// A call that counts its drops.
struct Call(Arc<AtomicUsize>);

impl Drop for Call {
    fn drop(&mut self) {
        assert!(runtime::Handle::try_current().is_ok(), "no runtime");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

const AUTHN: AuthnId = AuthnId([1; 32]);

fn suspended() -> SuspendedCalls<Call> {
    let system = ActorSystem::start(1).unwrap();
    SuspendedCalls::new(system, ManualClock::new(NOW), SUSPENDED_CALLS_PER_PRINCIPAL)
}

#[tokio::test]
async fn a_suspended_call_is_continued_once_and_only_by_its_principal() {
    let (suspended, gone) = (suspended(), Arc::default());
    let (ada, bob) = (principal("ada"), principal("bob"));
    let call = Call(Arc::clone(&gone));
    assert!(
        suspended
            .suspend([1; 16], &ada, (&slug("all"), AUTHN), call)
            .is_ok()
    );
    assert!(suspended.claim(&[1; 16], &bob).await.is_none());
    assert!(suspended.claim(&[2; 16], &ada).await.is_none());
    let claimed = suspended.claim(&[1; 16], &ada).await;
    assert!(claimed.is_some());
    assert!(suspended.claim(&[1; 16], &ada).await.is_none(), "twice");
    assert_eq!(gone.load(Ordering::Relaxed), 0);
    until("the call is let go of", || suspended.count() == 0).await;
}

#[tokio::test]
async fn suspended_calls_are_limited_per_principal() {
    let (suspended, gone) = (suspended(), Arc::default());
    let (ada, bob) = (principal("ada"), principal("bob"));
    let park = |number: usize, who: &Arc<Principal>| {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&number.to_be_bytes());
        suspended.suspend(name, who, (&slug("all"), AUTHN), Call(Arc::clone(&gone)))
    };
    for number in 0..SUSPENDED_CALLS_PER_PRINCIPAL {
        assert!(park(number, &ada).is_ok());
    }
    assert!(park(1_000, &ada).is_err());
    assert!(park(1_001, &bob).is_ok());
    suspended.end_all();
    until("the call is let go of", || suspended.count() == 0).await;
    assert_eq!(
        gone.load(Ordering::Relaxed),
        SUSPENDED_CALLS_PER_PRINCIPAL + 2
    );
    assert!(park(1_002, &ada).is_ok(), "the room is free again");
}

#[tokio::test]
async fn removing_a_gateway_cancels_only_its_suspended_calls() {
    let (suspended, gone) = (suspended(), Arc::default());
    let ada = principal("ada");
    for (name, gateway) in [([1; 16], "gone"), ([2; 16], "kept")] {
        let call = Call(Arc::clone(&gone));
        assert!(
            suspended
                .suspend(name, &ada, (&slug(gateway), AUTHN), call)
                .is_ok()
        );
    }
    suspended.retain(|gateway, _| gateway.as_str() == "kept");
    until("the call is let go of", || suspended.count() == 1).await;
    assert_eq!(gone.load(Ordering::Relaxed), 1);
    assert!(suspended.claim(&[1; 16], &ada).await.is_none());
    assert!(suspended.claim(&[2; 16], &ada).await.is_some());
}

#[tokio::test]
async fn revoking_a_token_cancels_only_its_suspended_calls() {
    let (suspended, gone) = (suspended(), Arc::default());
    let ada = principal("ada");
    for (name, authn) in [([1; 16], AUTHN), ([2; 16], AuthnId([2; 32]))] {
        let (call, gateway) = (Call(Arc::clone(&gone)), slug("all"));
        let kept = suspended.suspend(name, &ada, (&gateway, authn), call);
        assert!(kept.is_ok());
    }
    suspended.retain(|_, authn| *authn != AUTHN);
    until("the call is let go of", || suspended.count() == 1).await;
    assert!(suspended.claim(&[1; 16], &ada).await.is_none());
    assert!(suspended.claim(&[2; 16], &ada).await.is_some());
}

#[tokio::test]
async fn a_client_that_does_not_come_back_in_time_finds_its_call_cancelled() {
    let gone = Arc::default();
    let clock = ManualClock::new(NOW);
    let system = ActorSystem::start(1).unwrap();
    let suspended = SuspendedCalls::new(system, Arc::clone(&clock) as SharedClock, 4);
    let ada = principal("ada");
    let call = Call(Arc::clone(&gone));
    assert!(
        suspended
            .suspend([1; 16], &ada, (&slug("all"), AUTHN), call)
            .is_ok()
    );
    assert_eq!(format!("{suspended:?}"), "SuspendedCalls(1)");
    let entry = suspended.calls.get(&[1; 16]).unwrap();
    // The timer fires early: the clock decides.
    assert!(entry.handle.tell(SuspendedCallMessage::Tick).is_ok());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gone.load(Ordering::Relaxed), 0);
    clock.advance(toolgate_data_core::call::suspended::SUSPENSION_LIFETIME);
    assert!(entry.handle.tell(SuspendedCallMessage::Tick).is_ok());
    drop(entry);
    until("the call is cancelled", || suspended.count() == 0).await;
    assert_eq!(gone.load(Ordering::Relaxed), 1);
    assert!(suspended.claim(&[1; 16], &ada).await.is_none());
}
