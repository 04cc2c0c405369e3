//! {legacy, modern} clients × {legacy, modern} servers: the same guarantees in every era pair.
#![expect(clippy::unwrap_used, reason = "one scenario, four times")]

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, answer, messages};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::fixture::ExecutionCounts;
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Gateway with a single server.
struct EraPairGateway {
    up: ToolgateUp,
    server: UpstreamServer,
    token: String,
    _sandbox: Sandbox,
}

impl EraPairGateway {
    async fn start(server: &str) -> Self {
        let sandbox = Sandbox::new("cell").unwrap();
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[server])
            .await
            .unwrap();
        let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let token = up
            .cli()
            .unwrap()
            .expose("cell", server.url(), "always")
            .await
            .unwrap();
        let cell = Self {
            up,
            server,
            token,
            _sandbox: sandbox,
        };
        let agent = cell.modern();
        eventually("a first call", HANG_GUARD, || {
            agent.echo("cell__echo", "hi")
        })
        .await
        .unwrap();
        cell
    }

    fn url(&self) -> String {
        self.up.url("cell")
    }

    fn modern(&self) -> Agent {
        Agent::modern(&self.url(), &self.token)
    }

    async fn legacy(&self) -> Agent {
        Agent::legacy(&self.url(), &self.token).await.unwrap()
    }
}

/// Names, texts, errors and images of a server arrive unchanged.
async fn check_content(agent: &Agent) {
    agent
        .echo("cell__echo", "\u{1f980} \"quoted\" \\ \u{7}")
        .await
        .unwrap();
    let image = agent
        .call("cell__test_image_content", json!({}))
        .await
        .unwrap();
    assert_eq!(image["content"][0]["mimeType"], "image/png", "{image}");
    let failed = agent
        .call("cell__test_error_handling", json!({}))
        .await
        .unwrap();
    assert_eq!(failed["isError"], true, "{failed}");
    let big = agent
        .call("cell__big", json!({"bytes": 3 << 20}))
        .await
        .unwrap();
    assert_eq!(big["content"][0]["text"].as_str().unwrap().len(), 3 << 20);
    let error = agent
        .call("cell__echo", json!({"message": 7}))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("-32602"), "{error}");
    let unknown = agent
        .call("echo", json!({"message": "x"}))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("-32602"),
        "a name without its prefix: {unknown}"
    );
}

/// Progress arrives in order, under the token of the client, before the result.
async fn check_progress(agent: &Agent) {
    for token in [json!("my-token"), json!(9_007_199_254_740_993_u64)] {
        let params = json!({
            "name": "cell__test_tool_with_progress",
            "arguments": {},
            "_meta": {"progressToken": token},
        });
        let frame = agent.frame("tools/call", params);
        let reply = agent.post(&frame, &[]).await.unwrap();
        let all = messages(&reply).unwrap();
        let progress: Vec<&Value> = all
            .iter()
            .filter(|m| m["method"] == "notifications/progress")
            .collect();
        let steps: Vec<f64> = progress
            .iter()
            .map(|m| m["params"]["progress"].as_f64().unwrap())
            .collect();
        assert_eq!(steps, [0.0, 50.0, 100.0], "{all:?}");
        assert!(
            progress
                .iter()
                .all(|m| m["params"]["progressToken"] == token),
            "{all:?}"
        );
        assert!(all.last().unwrap().get("result").is_some(), "{all:?}");
    }
}

/// Ids of every kind come back unchanged.
async fn check_ids(agent: &Agent) {
    for id in [
        json!(0),
        json!(-1),
        json!("text"),
        json!(""),
        json!(18_446_744_073_709_551_615_u64),
    ] {
        let mut frame = agent.frame(
            "tools/call",
            json!({"name": "cell__greet", "arguments": {}}),
        );
        frame["id"] = id.clone();
        let reply = agent.post(&frame, &[]).await.unwrap();
        let last = messages(&reply).unwrap().pop().unwrap();
        assert_eq!(last["id"], id, "{last}");
        assert!(last.get("result").is_some(), "{last}");
    }
}

/// The disconnect of a modern client stops the work at the server.
async fn check_disconnect_cancels(cell: &EraPairGateway) {
    let before = cell.server.counts().await.unwrap();
    let agent = cell.modern();
    let frame = agent.frame(
        "tools/call",
        json!({"name": "cell__sleep", "arguments": {"ms": 60_000}}),
    );
    tokio::select! {
        answer = agent.post(&frame, &[]) => panic!("answered at once: {answer:?}"),
        () = asleep(cell, &before) => {}
    }
    drop(agent);
    await_cancelled(cell, before.cancelled).await;
}

/// The cancellation of a legacy client stops the work at the server.
async fn check_cancellation(cell: &EraPairGateway) {
    let before = cell.server.counts().await.unwrap();
    let agent = cell.legacy().await;
    let frame = agent.frame(
        "tools/call",
        json!({"name": "cell__sleep", "arguments": {"ms": 60_000}}),
    );
    let cancel = json!({
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": frame["id"], "reason": "a test"},
    });
    let tell = async {
        asleep(cell, &before).await;
        let reply = agent.post(&cancel, &[]).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text());
        await_cancelled(cell, before.cancelled).await;
    };
    tokio::select! {
        _ = agent.post(&frame, &[]) => await_cancelled(cell, before.cancelled).await,
        () = tell => {}
    }
}

/// Waits until the server has begun one more call of `sleep`.
async fn asleep(cell: &EraPairGateway, before: &ExecutionCounts) {
    eventually("the call has begun", HANG_GUARD, || async {
        let begun = cell.server.counts().await?.tools.get("sleep").copied();
        anyhow::ensure!(begun > before.tools.get("sleep").copied(), "{begun:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn await_cancelled(cell: &EraPairGateway, before: u64) {
    eventually("the server stops working", HANG_GUARD, || async {
        let now = cell.server.counts().await?.cancelled;
        anyhow::ensure!(now == before + 1, "{now} cancelled, {before} before");
        Ok(())
    })
    .await
    .unwrap();
}

/// Checks ping, the event stream and DELETE of the legacy era.
async fn check_legacy_session(cell: &EraPairGateway) {
    let agent = cell.legacy().await;
    let frame = agent.frame("ping", json!({}));
    let reply = agent.post(&frame, &[]).await.unwrap();
    assert_eq!(
        answer(&reply, frame["id"].as_u64().unwrap()).unwrap(),
        json!({})
    );
    let mut request = Request::builder().method(Method::GET).uri(cell.url());
    for (name, value) in &agent.headers("", None).unwrap() {
        if name != "content-type" {
            request = request.header(name, value);
        }
    }
    let request = request
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let stream = TestHttpClient::default().open(request).await.unwrap();
    assert_eq!(stream.status(), 200);
    let kind = stream
        .headers()
        .get("content-type")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    agent.echo("cell__echo", "beside the stream").await.unwrap();
    drop(stream);
    assert!(agent.delete().await.unwrap().status.is_success());
    assert_eq!(agent.request("ping", json!({})).await.unwrap().status, 404);
}

/// Checks `server/discover` and `tools/list` of the modern era.
async fn check_discovery(cell: &EraPairGateway) {
    let agent = cell.modern();
    let frame = agent.frame("server/discover", json!({}));
    let reply = agent.post(&frame, &[]).await.unwrap();
    let result = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
    assert!(
        result["supportedVersions"]
            .to_string()
            .contains("2026-07-28"),
        "{result}"
    );
    assert_eq!(result["resultType"], "complete", "{result}");
    let frame = agent.frame("tools/list", json!({}));
    let reply = agent.post(&frame, &[]).await.unwrap();
    let list = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
    assert!(
        list["ttlMs"].is_u64() && list["cacheScope"].is_string(),
        "{list}"
    );
}

/// Lists have a stable order, independent of the server's, and names that every client accepts.
async fn check_list_order(cell: &EraPairGateway) {
    let names = cell.modern().tools().await.unwrap();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted, "the list is sorted");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("cell__") && name.len() <= 64)
    );
    assert_eq!(cell.legacy().await.tools().await.unwrap(), names);
}

async fn check_all(server: &str) {
    let cell = EraPairGateway::start(server).await;
    for agent in [cell.modern(), cell.legacy().await] {
        check_content(&agent).await;
        check_progress(&agent).await;
        check_ids(&agent).await;
    }
    check_discovery(&cell).await;
    check_legacy_session(&cell).await;
    check_disconnect_cancels(&cell).await;
    check_cancellation(&cell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted() {
    check_list_order(&EraPairGateway::start("--sse").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_work_with_a_legacy_server() {
    check_all("--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_work_with_a_modern_server() {
    check_all("--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_work_with_a_streaming_modern_server() {
    check_all("--sse").await;
}
