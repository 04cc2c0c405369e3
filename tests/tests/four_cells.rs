//! {legacy, modern} clients × {legacy, modern} servers: the same guarantees in every era pair.
#![expect(clippy::unwrap_used, reason = "one scenario, four times")]

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, answer, messages};
use toolgate_tests::clock::eventually;
use toolgate_tests::http::Http;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::Up;

const SOON: Duration = Duration::from_secs(5);

/// Gateway with one server.
struct Cell {
    up: Up,
    server: Server,
    token: String,
    _sandbox: Sandbox,
}

impl Cell {
    async fn of(server: &str) -> Self {
        let sandbox = Sandbox::new("cell").unwrap();
        let server = Server::fixture(&sandbox, "fixture", &[server])
            .await
            .unwrap();
        let up = Up::start(&sandbox, &[]).await.unwrap();
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
        eventually("a first call", SOON, || agent.echo("cell__echo", "hi"))
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
async fn carries(agent: &Agent) {
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
async fn progresses(agent: &Agent) {
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
async fn keeps_ids(agent: &Agent) {
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
async fn stops_for_those_who_leave(cell: &Cell) {
    let before = cell.server.counts().await.unwrap().cancelled;
    let agent = cell.modern();
    let frame = agent.frame(
        "tools/call",
        json!({"name": "cell__sleep", "arguments": {"ms": 60_000}}),
    );
    let gone = tokio::time::timeout(Duration::from_millis(500), agent.post(&frame, &[])).await;
    assert!(gone.is_err(), "answered at once: {gone:?}");
    drop(agent);
    stopped(cell, before).await;
}

/// The cancellation of a legacy client stops the work at the server.
async fn stops_when_told(cell: &Cell) {
    let before = cell.server.counts().await.unwrap().cancelled;
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
        tokio::time::sleep(Duration::from_millis(500)).await;
        let reply = agent.post(&cancel, &[]).await.unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text());
        stopped(cell, before).await;
    };
    tokio::select! {
        _ = agent.post(&frame, &[]) => stopped(cell, before).await,
        () = tell => {}
    }
}

async fn stopped(cell: &Cell, before: u64) {
    eventually("the server stops working", SOON, || async {
        let now = cell.server.counts().await?.cancelled;
        anyhow::ensure!(now == before + 1, "{now} cancelled, {before} before");
        Ok(())
    })
    .await
    .unwrap();
}

/// Checks ping, the event stream and DELETE of the legacy era.
async fn keeps_a_session(cell: &Cell) {
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
    let stream = Http::default().open(request).await.unwrap();
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
async fn introduces_itself(cell: &Cell) {
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
async fn lists_in_order(cell: &Cell) {
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

async fn whole(server: &str) {
    let cell = Cell::of(server).await;
    for agent in [cell.modern(), cell.legacy().await] {
        carries(&agent).await;
        progresses(&agent).await;
        keeps_ids(&agent).await;
    }
    introduces_itself(&cell).await;
    keeps_a_session(&cell).await;
    stops_for_those_who_leave(&cell).await;
    stops_when_told(&cell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted() {
    lists_in_order(&Cell::of("--sse").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_on_a_legacy_server() {
    whole("--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_on_a_modern_server() {
    whole("--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_on_a_modern_server_that_streams() {
    whole("--sse").await;
}
