//! A parked call is handed out once, to its own principal, and let go of on the runtime of calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use toolgate_runtime::clock::ManualClock;

use super::*;
use crate::fixture::{NOW, principal, slug, until};

/// Counts how often it was let go of.
struct Call(Arc<AtomicUsize>);

impl Drop for Call {
    fn drop(&mut self) {
        assert!(runtime::Handle::try_current().is_ok(), "no runtime");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn parking() -> Parking<Call> {
    let system = ActorSystem::start(1).unwrap();
    Parking::new(system, ManualClock::new(NOW), PARKED_PER_PRINCIPAL)
}

#[tokio::test]
async fn a_suspended_call_is_resumed_once_and_only_by_its_principal() {
    let (parking, gone) = (parking(), Arc::default());
    let (ada, bob) = (principal("ada"), principal("bob"));
    let call = Call(Arc::clone(&gone));
    assert!(parking.park([1; 16], &ada, &slug("all"), call).is_ok());
    assert!(parking.claim(&[1; 16], &bob).await.is_none());
    assert!(parking.claim(&[2; 16], &ada).await.is_none());
    let claimed = parking.claim(&[1; 16], &ada).await;
    assert!(claimed.is_some());
    assert!(parking.claim(&[1; 16], &ada).await.is_none(), "twice");
    assert_eq!(gone.load(Ordering::Relaxed), 0);
    until("the call is let go of", || parking.count() == 0).await;
}

#[tokio::test]
async fn suspended_calls_are_limited_per_principal() {
    let (parking, gone) = (parking(), Arc::default());
    let (ada, bob) = (principal("ada"), principal("bob"));
    let park = |number: usize, who: &Arc<Principal>| {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&number.to_be_bytes());
        parking.park(name, who, &slug("all"), Call(Arc::clone(&gone)))
    };
    for number in 0..PARKED_PER_PRINCIPAL {
        assert!(park(number, &ada).is_ok());
    }
    assert!(park(1_000, &ada).is_err());
    assert!(park(1_001, &bob).is_ok());
    parking.end_all();
    until("the call is let go of", || parking.count() == 0).await;
    assert_eq!(gone.load(Ordering::Relaxed), PARKED_PER_PRINCIPAL + 2);
    assert!(park(1_002, &ada).is_ok(), "the room is free again");
}

#[tokio::test]
async fn removing_a_gateway_cancels_only_its_suspended_calls() {
    let (parking, gone) = (parking(), Arc::default());
    let ada = principal("ada");
    for (name, gateway) in [([1; 16], "gone"), ([2; 16], "kept")] {
        let call = Call(Arc::clone(&gone));
        assert!(parking.park(name, &ada, &slug(gateway), call).is_ok());
    }
    parking.retain(|gateway| gateway.as_str() == "kept");
    until("the call is let go of", || parking.count() == 1).await;
    assert_eq!(gone.load(Ordering::Relaxed), 1);
    assert!(parking.claim(&[1; 16], &ada).await.is_none());
    assert!(parking.claim(&[2; 16], &ada).await.is_some());
}
