//! Rate limits through the whole request path: each key, both eras, refusals before the body and before the call.

use std::{num::NonZeroU32, sync::Arc, sync::atomic::Ordering, time::Duration};

use http::Method;
use serde_json::{Value, json};
use toolgate_data_plane::DataPlaneOptions;
use toolgate_model::{
    Era, RateLimit, RateLimitKey as Key, ResourceKey, SnapshotResource, SnapshotResourceKind,
    Timestamp, TokenSubject,
    snapshot::{RateLimitScope as Scope, ScopedRateLimit, SnapshotEntry},
};
use toolgate_runtime::clock::ManualClock;

use crate::{
    client::{TestClient, TestResponse},
    rig::{ANYTHING, NARROW_TOKEN, TOKEN, TestRig, exposed, name, slug},
};

/// Six requests per minute, all of them at once.
fn limit(per: Key) -> RateLimit {
    RateLimit {
        per,
        requests: NonZeroU32::new(6).unwrap(),
        interval: Duration::from_secs(60),
        burst: None,
        tools: Vec::new(),
    }
}

/// Proxy with a clock that stands still, and these limits on both gateways.
async fn limited(limits: &[(Scope, RateLimit)]) -> (TestRig, Arc<ManualClock>) {
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let rig = TestRig::with_clock(Arc::clone(&clock) as _).await;
    set_limits(&rig, limits);
    (rig, clock)
}

fn set_limits(rig: &TestRig, limits: &[(Scope, RateLimit)]) {
    let limits = limits.iter().cloned();
    let limits: Vec<_> = limits
        .map(|(scope, limit)| ScopedRateLimit { scope, limit })
        .collect();
    for gateway in ["everything", "other"] {
        change(rig, SnapshotResourceKind::Gateway, gateway, |resource| {
            let SnapshotResource::Gateway(gateway) = resource else {
                panic!("no gateway");
            };
            gateway.rate_limits = limits.clone();
        });
    }
}

fn change(
    rig: &TestRig,
    kind: SnapshotResourceKind,
    id: &str,
    edit: impl FnOnce(&mut SnapshotResource),
) {
    rig.source.configure(|snapshot| {
        let key = ResourceKey {
            kind,
            name: name(id),
        };
        let entry = snapshot.entries.get_mut(&key).unwrap();
        let mut resource = SnapshotResource::clone(&entry.resource);
        edit(&mut resource);
        *entry = SnapshotEntry::new(resource);
    });
}

fn change_token(
    rig: &TestRig,
    id: &str,
    edit: impl FnOnce(&mut toolgate_model::snapshot::TokenResource),
) {
    change(rig, SnapshotResourceKind::Token, id, |resource| {
        let SnapshotResource::Token(token) = resource else {
            panic!("no token");
        };
        edit(token);
    });
}

async fn call(client: &TestClient, tool: &str) -> TestResponse {
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": tool, "arguments": {"text": "hello"},
    }});
    client.modern(message).await.whole().await
}

/// Number of calls of the modern server's tool that are answered, of ten.
async fn permitted(client: &TestClient) -> usize {
    permitted_of(client, &exposed(Era::Modern, "echo")).await
}

async fn permitted_of(client: &TestClient, tool: &str) -> usize {
    let mut answered = 0;
    for _ in 0..10 {
        let answer = call(client, tool).await;
        match answer.status.as_u16() {
            200 => answered += 1,
            status => assert_eq!(status, 429, "{answer:?}"),
        }
    }
    answered
}

#[tokio::test]
async fn a_limit_per_principal_covers_all_its_tokens_and_no_other_principal() {
    let (rig, clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    change_token(&rig, "narrow", |token| {
        token.subject = TokenSubject::User(slug("alice"));
    });
    assert_eq!(permitted(&rig.client()).await, 6);
    let second_token = rig.client_with("everything", NARROW_TOKEN);
    assert_eq!(
        permitted_of(&second_token, &exposed(Era::Legacy, "echo")).await,
        0
    );
    assert_eq!(permitted(&rig.client_with("everything", ANYTHING)).await, 6);
    // The gateway's limit is not that of another gateway.
    assert_eq!(permitted(&rig.client_with("other", TOKEN)).await, 6);
    clock.advance(Duration::from_secs(20));
    assert_eq!(permitted(&rig.client()).await, 2);
}

#[tokio::test]
async fn a_limit_per_token_counts_each_token() {
    let (rig, _clock) = limited(&[(Scope::Organization, limit(Key::Token))]).await;
    change_token(&rig, "anything", |token| {
        token.subject = TokenSubject::User(slug("alice"));
    });
    assert_eq!(permitted(&rig.client()).await, 6);
    assert_eq!(permitted(&rig.client_with("everything", ANYTHING)).await, 6);
    // The organization's limit covers all its gateways.
    assert_eq!(permitted(&rig.client_with("other", TOKEN)).await, 0);
}

#[tokio::test]
async fn a_limit_of_a_token_applies_at_every_gateway() {
    let (rig, _clock) = limited(&[]).await;
    change_token(&rig, "wide", |token| {
        token.rate_limits = vec![limit(Key::Token)]
    });
    assert_eq!(permitted(&rig.client()).await, 6);
    assert_eq!(permitted(&rig.client_with("other", TOKEN)).await, 0);
    assert_eq!(permitted(&rig.client_with("other", ANYTHING)).await, 10);
}

#[tokio::test]
async fn a_session_can_be_ended_when_the_limit_is_used_up() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    let mut client = rig.client();
    client.initialize().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    while client.legacy(ping.clone()).await.whole().await.status == 200 {}
    let session = client.session.clone().unwrap();
    let headers = [("mcp-session-id", &*session)];
    let ended = client.raw(Method::DELETE, &headers, "").await.whole().await;
    assert_eq!(ended.status, 200);
    let again = client.raw(Method::DELETE, &headers, "").await.whole().await;
    assert_eq!(again.status, 404);
    // Requests are limited as before.
    assert_eq!(client.legacy(ping).await.whole().await.status, 429);
}

/// Cancellations and answers to requests of servers end waiting calls, under the limits of operators and under the limit of
/// the proxy.
#[tokio::test]
async fn cancellations_and_answers_to_server_requests_pass_when_the_limit_is_used_up() {
    for limits in [vec![(Scope::Gateway, limit(Key::Principal))], Vec::new()] {
        let clock = ManualClock::new(Timestamp(1_700_000_000_000));
        let limited = |options: &mut DataPlaneOptions| {
            if limits.is_empty() {
                options.limits.rate_per_token = Some(1);
                options.limits.burst_per_token = 6;
            }
        };
        let rig = TestRig::with_options(limited, clock).await;
        set_limits(&rig, &limits);
        let mut client = rig.client();
        client.capabilities = json!({"elicitation": {}});
        client.initialize().await;
        let ask = exposed(Era::Legacy, "ask");
        let mut stream = client.call(Era::Legacy, json!("c"), &ask, "x").await;
        let question = stream.message().await.unwrap();
        let mut cancelled = client.call(Era::Legacy, json!("h"), &ask, "x").await;
        assert!(cancelled.message().await.is_some());
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        while client.legacy(ping.clone()).await.whole().await.status == 200 {}
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": "h"}});
        let accepted = client.legacy(cancel.clone()).await.whole().await;
        assert_eq!(accepted.status, 202);
        assert_eq!(cancelled.message().await, None);
        let answer = json!({"jsonrpc": "2.0", "id": question["id"],
            "result": {"action": "accept", "content": {"n": 7}}});
        assert_eq!(client.legacy(answer).await.whole().await.status, 202);
        let last = stream.message().await.unwrap();
        assert_eq!(last["id"], "c", "{last}");
        // All else is limited as before: requests, other notifications, and anything without a session.
        let notice = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
        let batch = json!([cancel, ping]);
        for other in [ping, notice, batch] {
            let refused = client.legacy(other.clone()).await.whole().await;
            assert_eq!(refused.status, 429, "{other}");
        }
        assert_eq!(
            call(&client, &exposed(Era::Modern, "echo")).await.status,
            429
        );
    }
}

#[tokio::test]
async fn of_a_thousand_cancellations_beyond_a_used_up_limit_the_first_hundred_pass() {
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": "h"}});
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    let mut client = rig.client();
    client.initialize().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    while client.legacy(ping.clone()).await.whole().await.status == 200 {}
    // An id that is made up opens no session, so its message is not read.
    let session = client.session.replace("made-up".to_owned());
    let refused = client.legacy(cancel.clone()).await.whole().await;
    assert_eq!(refused.status, 429);
    client.session = session;
    let mut statuses = Vec::new();
    for _ in 0..1000 {
        let answer = client.legacy(cancel.clone()).await.whole().await;
        statuses.push(answer.status);
    }
    let passed = statuses.iter().take_while(|status| **status == 202).count();
    // The last permitted ping and the id that was made up took their share.
    assert!((90..=100).contains(&passed), "{passed}");
    assert!(statuses[passed..].iter().all(|status| *status == 429));
}

#[tokio::test]
async fn a_cancellation_beyond_a_used_up_limit_has_64_kib_at_most() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    let client = rig.client();
    let echo = exposed(Era::Modern, "echo");
    while call(&client, &echo).await.status != 429 {}
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "notifications/cancelled"),
    ];
    let large = "x".repeat(65 * 1024);
    let refused = client.raw(Method::POST, &headers, &large).await;
    assert_eq!(refused.whole().await.status, 413);
}

#[tokio::test]
async fn a_limit_per_team_covers_the_tokens_of_a_team_only() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Team))]).await;
    for id in ["wide", "anything"] {
        change_token(&rig, id, |token| {
            token.subject = TokenSubject::Team(slug("blue"));
        });
    }
    let [first, second] = [TOKEN, ANYTHING].map(|token| rig.client_with("everything", token));
    assert_eq!(permitted(&first).await + permitted(&second).await, 6);
    let user = rig.client_with("everything", NARROW_TOKEN);
    assert_eq!(permitted_of(&user, &exposed(Era::Legacy, "echo")).await, 10);
}

#[tokio::test]
async fn limits_per_organization_and_gateway_cover_all_callers() {
    for (scope, per, elsewhere) in [
        (Scope::Organization, Key::Organization, 0),
        (Scope::Gateway, Key::Gateway, 6),
    ] {
        let (rig, _clock) = limited(&[(scope, limit(per))]).await;
        let [first, second] = [TOKEN, ANYTHING].map(|token| rig.client_with("everything", token));
        assert_eq!(permitted(&first).await, 6, "{per}");
        assert_eq!(permitted(&second).await, 0, "{per}");
        let other = rig.client_with("other", TOKEN);
        assert_eq!(permitted(&other).await, elsewhere, "{per}");
    }
}

#[tokio::test]
async fn a_limit_per_server_counts_calls_to_it_through_all_gateways_and_no_lists() {
    let (rig, _clock) = limited(&[(Scope::Server(slug("new")), limit(Key::Server))]).await;
    let client = rig.client();
    for _ in 0..10 {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
        assert_eq!(client.modern(list).await.whole().await.status, 200);
    }
    assert_eq!(permitted(&client).await, 6);
    assert_eq!(permitted(&rig.client_with("other", ANYTHING)).await, 0);
    assert_eq!(
        permitted_of(&client, &exposed(Era::Legacy, "echo")).await,
        10
    );
}

#[tokio::test]
async fn a_limit_per_tool_counts_each_tool_of_the_binding() {
    let (rig, _clock) = limited(&[(Scope::Binding(slug("new")), limit(Key::Tool))]).await;
    let client = rig.client();
    assert_eq!(permitted(&client).await, 6);
    assert_eq!(
        permitted_of(&client, &exposed(Era::Modern, "marked")).await,
        6
    );
    assert_eq!(permitted(&rig.client_with("other", TOKEN)).await, 6);
}

#[tokio::test]
async fn a_limit_that_names_tools_leaves_the_others_alone() {
    let named = RateLimit {
        tools: vec!["echo".to_owned()],
        ..limit(Key::Principal)
    };
    let (rig, _clock) = limited(&[(Scope::Binding(slug("new")), named)]).await;
    let client = rig.client();
    assert_eq!(permitted(&client).await, 6);
    assert_eq!(
        permitted_of(&client, &exposed(Era::Modern, "marked")).await,
        10
    );
    assert_eq!(permitted(&rig.client_with("everything", ANYTHING)).await, 6);
}

/// Checks the refusal of a call by a limit.
fn assert_refused(answer: &TestResponse, per: &str, seconds: u64) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], seconds.to_string().as_str());
    let answer = answer.json();
    let error = &answer["error"];
    assert_eq!(error["data"], json!({"retryAfter": seconds, "limit": per}));
    let text = error["message"].as_str().unwrap();
    assert_eq!(
        text,
        format!("too many requests: the rate limit per {per} is reached, retry in {seconds} s")
    );
}

#[tokio::test]
async fn a_refusal_names_the_limit_and_the_seconds_in_both_eras() {
    let (rig, clock) = limited(&[
        (Scope::Gateway, limit(Key::Principal)),
        (
            Scope::Server(slug("old")),
            RateLimit {
                requests: NonZeroU32::new(1).unwrap(),
                ..limit(Key::Server)
            },
        ),
    ])
    .await;
    // Opening the session takes two requests.
    let mut legacy = rig.client();
    legacy.initialize().await;
    let old = exposed(Era::Legacy, "echo");
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": old, "arguments": {"text": "hello"},
    }});
    assert_eq!(
        legacy.legacy(message.clone()).await.whole().await.status,
        200
    );
    let by_server = legacy.legacy(message.clone()).await.whole().await;
    assert_refused(&by_server, "server", 60);
    // After the plan the request is known, and with it its id.
    assert_eq!(by_server.json()["id"], 7);
    assert_refused(&call(&legacy, &old).await, "server", 60);
    assert_eq!(
        call(&legacy, &exposed(Era::Modern, "echo")).await.status,
        200
    );
    let by_principal = legacy.legacy(message).await.whole().await;
    assert_refused(&by_principal, "principal", 10);
    // The body was read: a message of a session may release what its client holds.
    assert_eq!(by_principal.json()["id"], 7);
    clock.advance(Duration::from_millis(2_500));
    let by_principal = call(&legacy, &exposed(Era::Modern, "echo")).await;
    assert_refused(&by_principal, "principal", 8);
    // The body of a modern request was not read: its header names its method.
    assert_eq!(by_principal.json()["id"], Value::Null);
}

#[tokio::test]
async fn lists_and_notifications_count_as_requests() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    let mut client = rig.client();
    client.initialize().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for _ in 0..4 {
        assert_eq!(client.legacy(list.clone()).await.whole().await.status, 200);
    }
    assert_eq!(client.legacy(list).await.whole().await.status, 429);
}

#[tokio::test]
async fn the_retry_of_a_suspended_call_is_not_counted_again() {
    let once = RateLimit {
        requests: NonZeroU32::MIN,
        interval: Duration::from_secs(3_600),
        ..limit(Key::Server)
    };
    let rig = TestRig::start().await;
    set_limits(&rig, &[(Scope::Server(slug("old")), once)]);
    let mut client = rig.client();
    client.capabilities = json!({"elicitation": {}});
    let ask = |more: Value| {
        let mut params = json!({"name": "old__ask", "arguments": {"text": "x"}});
        let members = params.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    };
    let asked = client.modern(ask(json!({}))).await.whole().await.json();
    let asked = &asked["result"];
    let key = asked["inputRequests"].as_object().unwrap().keys().next();
    let answer = json!({"action": "accept", "content": {}});
    let retry = ask(json!({
        "requestState": asked["requestState"], "inputResponses": {key.unwrap(): answer},
    }));
    let done = client.modern(retry).await.whole().await;
    assert_eq!(done.json()["result"]["resultType"], "complete", "{done:?}");
    let again = client.modern(ask(json!({}))).await.whole().await;
    assert_eq!(again.status, 429, "a new call counts");
}

#[tokio::test]
async fn each_member_of_a_batch_counts() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let batch: Value = (0..6).map(ping).collect();
    let answer = client.legacy(batch).await.whole().await;
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let served = answers.as_array().unwrap().iter();
    let served = served.filter(|it| it["result"].is_object()).count();
    assert_eq!(
        served, 4,
        "two of six requests opened the session: {answers}"
    );
    assert_eq!(answers[5]["error"]["data"]["limit"], "principal");
    assert_eq!(answers[5]["id"], 5);
}

#[tokio::test]
async fn what_a_narrow_limit_refuses_does_not_use_up_a_wide_one() {
    let whole = RateLimit {
        requests: NonZeroU32::new(12).unwrap(),
        ..limit(Key::Organization)
    };
    let limits = [
        (Scope::Organization, whole),
        (Scope::Gateway, limit(Key::Principal)),
    ];
    let (rig, _clock) = limited(&limits).await;
    for _ in 0..3 {
        permitted(&rig.client()).await;
    }
    assert_eq!(permitted(&rig.client_with("everything", ANYTHING)).await, 6);
}

#[tokio::test]
async fn a_proxy_of_three_serves_a_third_and_follows_the_fleet() {
    let (rig, clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    rig.source.serving_proxies.store(3, Ordering::Relaxed);
    assert_eq!(permitted(&rig.client()).await, 2);
    clock.advance(Duration::from_secs(30));
    assert_eq!(permitted(&rig.client()).await, 1);
    // Alone again: the whole rate, from where the quota stands.
    rig.source.serving_proxies.store(1, Ordering::Relaxed);
    clock.advance(Duration::from_secs(90));
    assert_eq!(permitted(&rig.client()).await, 6);
}

#[tokio::test]
async fn refusals_are_counted_by_the_key_of_the_limit() {
    let (rig, _clock) = limited(&[
        (Scope::Gateway, limit(Key::Principal)),
        (
            Scope::Binding(slug("new")),
            RateLimit {
                requests: NonZeroU32::new(4).unwrap(),
                ..limit(Key::Tool)
            },
        ),
    ])
    .await;
    assert_eq!(permitted(&rig.client()).await, 4);
    let scrape = rig.metrics.render();
    for (reason, count) in [("rate_limit_tool", 2), ("rate_limit_principal", 4)] {
        let line = scrape.lines().find(|line| line.contains(reason));
        let line = line.unwrap_or_else(|| panic!("{reason} is missing in {scrape}"));
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
    assert!(scrape.contains("toolgate_rate_limit_quotas 2"), "{scrape}");
}

#[tokio::test]
async fn a_limit_that_did_not_change_keeps_its_quotas_across_pushes() {
    let (rig, _clock) = limited(&[(Scope::Gateway, limit(Key::Principal))]).await;
    assert_eq!(permitted(&rig.client()).await, 6);
    change(
        &rig,
        SnapshotResourceKind::Gateway,
        "everything",
        |resource| {
            if let SnapshotResource::Gateway(gateway) = resource {
                gateway.instructions = "changed".to_owned();
            }
        },
    );
    assert_eq!(permitted(&rig.client()).await, 0);
}
