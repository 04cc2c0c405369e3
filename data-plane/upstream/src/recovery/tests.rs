//! A server whose circuit is open is reported as recovered without a call, and only as far as a ping shows it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use toolgate_client::fake_server::{reply, result};
use toolgate_model::{Era, HealthState, Timestamp};
use toolgate_runtime::ManualClock;

use super::*;
use crate::{
    circuit_breaker::{FAILURES, OPEN_DURATION},
    fixture::{FakeServer, registry},
    upstream::Upstream,
};

const CALL: &str = "tools/call";

/// Upper bound of a wait that only guards against a hang.
const HANG_GUARD: Duration = Duration::from_secs(60);

fn fail(upstream: &Arc<Upstream>, failure: UpstreamFailure) {
    for _ in 0..FAILURES {
        upstream.permit().unwrap().record_failure(failure);
    }
    assert!(upstream.is_circuit_open());
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(HANG_GUARD, waited).await.is_ok(),
        "{what}"
    );
}

#[tokio::test]
async fn a_server_that_answers_again_is_reported_without_a_call() {
    for (era, method) in [(Era::Modern, "server/discover"), (Era::Legacy, "ping")] {
        let is_down = Arc::new(AtomicBool::new(true));
        let down = Arc::clone(&is_down);
        let server = FakeServer::start(move |seen| match down.load(Ordering::Relaxed) {
            true => reply(503, "text/plain", ""),
            false => result(seen, &json!({})),
        });
        let server = server.await;
        let context = server.context(era);
        let upstream = server.registry.upstream(context.plan.server()).unwrap();
        let state = || {
            let servers = server.registry.health().servers(Timestamp(u64::MAX));
            servers.first().map(|it| it.state)
        };
        fail(&upstream, UpstreamFailure::ServerError);
        assert_eq!(state(), Some(HealthState::Unavailable));
        until("it is pinged", || server.count(method) >= 1).await;
        assert!(upstream.is_circuit_open());
        assert_eq!(state(), Some(HealthState::Unavailable));
        is_down.store(false, Ordering::Relaxed);
        until("it is reported", || !upstream.is_circuit_open()).await;
        assert_ne!(state(), Some(HealthState::Unavailable));
        assert_eq!(server.count(CALL), 0);
        // The first failure after that opens the circuit again.
        let mut call = upstream.permit().unwrap();
        call.record_failure(UpstreamFailure::ServerError);
        assert!(upstream.is_circuit_open());
        assert_eq!(state(), Some(HealthState::Unavailable));
    }
}

#[tokio::test]
async fn a_server_that_answers_pings_while_its_calls_fail_is_tried_by_one_call_at_a_time() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let clock = ManualClock::new(Timestamp(0));
    let registry = registry(Some(&clock));
    let context = server.context(Era::Modern);
    let upstream = registry.upstream(context.plan.server()).unwrap();
    let is_failing = || {
        let servers = registry.health().servers(Timestamp(0));
        servers.iter().any(|it| it.is_failing())
    };
    fail(&upstream, UpstreamFailure::Timeout);
    until("it is pinged", || server.count("server/discover") >= 2).await;
    assert!(is_failing(), "no call may try it yet");
    clock.advance(OPEN_DURATION.1);
    until("it is not reported", || !is_failing()).await;
    let mut tried = upstream.permit().unwrap();
    let refused = upstream.permit().err();
    assert_eq!(refused, Some(UpstreamFailure::CircuitOpen));
    tried.record_failure(UpstreamFailure::Timeout);
    assert!(is_failing(), "the call has failed");
    clock.advance(OPEN_DURATION.1);
    until("it is not reported", || !is_failing()).await;
    upstream.permit().unwrap().record_success();
    assert!(!upstream.is_circuit_open());
}
