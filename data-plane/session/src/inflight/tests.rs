//! A cancellation finds the call that it means, and no other.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::fixture::facts;

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_call_is_cancelled_by_session_and_id() {
    let calls = InFlight::new();
    let call = calls.enter(&facts(1), "1").unwrap();
    // Another session, and an id of another type.
    assert!(!calls.cancel(&facts(2), "1"));
    assert!(!calls.cancel(&facts(1), "\"1\""));
    assert!(timeout(SOON, call.cancelled()).await.is_err());
    assert!(calls.cancel(&facts(1), "1"));
    assert!(timeout(SOON, call.cancelled()).await.is_ok());
}

#[tokio::test]
async fn a_cancellation_that_comes_before_anybody_waits_is_kept() {
    let calls = InFlight::new();
    let call = calls.enter(&facts(1), "1").unwrap();
    assert!(calls.cancel(&facts(1), "1"));
    assert!(timeout(SOON, call.cancelled()).await.is_ok());
}

#[tokio::test]
async fn an_id_is_free_again_when_its_call_has_ended() {
    let calls = InFlight::new();
    let call = calls.enter(&facts(1), "1").unwrap();
    assert!(matches!(
        calls.enter(&facts(1), "1"),
        Err(Refusal::InvalidRequest(_))
    ));
    drop(call);
    assert_eq!(calls.count(), 0);
    assert!(!calls.cancel(&facts(1), "1"));
    assert!(calls.enter(&facts(1), "1").is_ok());
}
