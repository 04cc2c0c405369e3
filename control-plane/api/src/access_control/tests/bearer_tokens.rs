//! Tests of bearer tokens: their form, and the bounds of looking unknown ones up; and of the seats of their connections.

use std::{pin::pin, sync::atomic::Ordering};

use futures_util::{FutureExt as _, future::join_all};

use super::super::{unknown_tokens::LOOKUPS, *};
use super::*;

/// Returns the error reason of a list that is requested with this authorization header.
async fn reason_of(router: &Router, authorization: &str) -> (Code, String) {
    let list = "/toolgate.admin.v1.Gateways/ListGateways";
    let body = Bytes::from_static(b"\x0a\x12organizations/acme");
    let mut request = memory::request(list, None, &body);
    let value = authorization.parse().unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    let answer = memory::send(router, request).await;
    let details = answer.status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (answer.code, reason.unwrap_or_default())
}

#[tokio::test]
async fn only_a_bearer_token_of_at_most_a_kibibyte_is_looked_up() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    for served in ["Bearer viewer", "bearer viewer", "BEARER viewer"] {
        assert_eq!(reason_of(&router, served).await.0, Code::Ok, "{served}");
    }
    let long = format!("Bearer {}", "x".repeat(MAX_CREDENTIAL + 1));
    for refused in [
        "Basic viewer",
        "Bearer",
        "Token: viewer",
        "viewer",
        long.as_str(),
    ] {
        let expected = (Code::Unauthenticated, "MALFORMED_TOKEN".to_owned());
        assert_eq!(reason_of(&router, refused).await, expected, "{refused}");
    }
    assert_eq!(control_api.catch_ups.load(Ordering::Relaxed), 0);
    let longest = format!("Bearer {}", "x".repeat(MAX_CREDENTIAL));
    let (_, reason) = reason_of(&router, &longest).await;
    assert_ne!(reason, "MALFORMED_TOKEN");
    assert_eq!(control_api.catch_ups.load(Ordering::Relaxed), 1);
}

#[test]
fn only_the_requests_of_authenticated_callers_protect_their_connection() {
    let caller = |identity| AdminCaller {
        identity,
        peer: ConnectionPeer::Unknown,
        right: None,
        method: "",
        token: None,
    };
    let mut request = Request::new(Body::empty());
    let system = caller(CallerIdentity::System);
    assert!(hold_seat(&request, &system).unwrap().is_none());
    let seat = Arc::<ConnectionSeat>::default();
    request.extensions_mut().insert(Arc::clone(&seat));
    let anonymous = caller(CallerIdentity::Anonymous);
    assert!(hold_seat(&request, &anonymous).unwrap().is_none());
    assert!(hold_seat(&request, &system).unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn random_tokens_take_no_place_of_callers() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    let list = "/toolgate.admin.v1.Gateways/ListGateways";
    let body = Bytes::from_static(b"\x0a\x12organizations/acme");
    control_api.store_stuck.store(true, Ordering::Relaxed);
    let tokens: Vec<String> = (0..2_000)
        .map(|number| format!("random-{number}"))
        .collect();
    let flood = tokens.iter().map(|token| {
        let request = memory::request(list, Some(token.as_str()), &body);
        memory::send(&router, request)
    });
    let mut flood = pin!(join_all(flood));
    assert!(
        flood.as_mut().now_or_never().is_none(),
        "lookups are under way"
    );
    assert_eq!(control_api.catch_ups.load(Ordering::Relaxed), LOOKUPS);
    let served = memory::send(&router, memory::request(list, Some("viewer"), &body)).await;
    assert_eq!(served.code, Code::Ok, "{:?}", served.status);
    let refused = flood.await;
    assert!(refused.iter().all(|it| it.code != Code::Ok));
}

#[tokio::test]
async fn a_token_that_the_store_does_not_have_is_looked_up_once() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    let list = "/toolgate.admin.v1.Gateways/ListGateways";
    let body = Bytes::from_static(b"\x0a\x12organizations/acme");
    for _ in 0..3 {
        let request = memory::request(list, Some("garbage"), &body);
        assert_eq!(
            memory::send(&router, request).await.code,
            Code::Unauthenticated
        );
    }
    assert_eq!(control_api.catch_ups.load(Ordering::Relaxed), 1);
}
