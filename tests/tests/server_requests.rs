//! Server requests in every era pair: a real server of each era, raw clients of both, one gateway between.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "one scenario, four times"
)]

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::eventually;
use toolgate_tests::etcd::Etcd;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::{ControlPlane, Proxy, Up};

const SOON: Duration = Duration::from_secs(10);

/// Gateway with one server whose relay policy allows everything.
struct Cell {
    up: Up,
    server: Server,
    token: String,
    _sandbox: Sandbox,
}

impl Cell {
    async fn of(server: &str) -> Self {
        let sandbox = Sandbox::new("asks").unwrap();
        let server = Server::fixture(&sandbox, "fixture", &[server])
            .await
            .unwrap();
        let up = Up::start(&sandbox, &[]).await.unwrap();
        let token = up.expose("cell", server.url(), "always").await.unwrap();
        let cli = up.cli().unwrap();
        cli.let_ask("cell", server.url()).await.unwrap();
        Self {
            up,
            server,
            token,
            _sandbox: sandbox,
        }
    }

    fn modern(&self) -> Agent {
        Agent::modern(&self.up.url("cell"), &self.token).declaring(everything())
    }

    async fn legacy(&self) -> Agent {
        let url = self.up.url("cell");
        Agent::legacy_with(&url, &self.token, everything())
            .await
            .unwrap()
    }

    async fn ran(&self, tool: &str) -> u64 {
        let counts = self.server.counts().await.unwrap();
        counts.tools.get(tool).copied().unwrap_or_default()
    }
}

fn everything() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

/// Response of a client to a server request.
fn answer(question: &Value) -> Value {
    match question["method"].as_str().unwrap() {
        "sampling/createMessage" => json!({
            "role": "assistant", "model": "m", "stopReason": "endTurn",
            "content": {"type": "text", "text": "forty-two"},
        }),
        "roots/list" => json!({"roots": [{"uri": "file:///work"}]}),
        _ => {
            let message = question["params"]["message"].as_str().unwrap();
            assert!(message.starts_with("[cell] "), "{message}");
            json!({"action": "accept", "content": {"name": "Ada", "username": "ada",
                "email": "a@example.org", "color": "red", "ok": true}})
        }
    }
}

/// Text of a call's result, with server requests answered on its stream.
async fn talk(agent: &Agent, tool: &str, arguments: Value) -> String {
    let params = json!({"name": format!("cell__{tool}"), "arguments": arguments});
    let frame = agent.frame("tools/call", params);
    let said = |question: &Value| json!({"result": answer(question)});
    let all = agent.converse(&frame, said).await.unwrap();
    let last = all.last().unwrap();
    assert_eq!(last["id"], frame["id"], "{all:?}");
    let text = last["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {last}"))
        .to_owned()
}

/// Text of a call's result, with the call repeated with responses as often as the server requires.
async fn rounds(agent: &Agent, tool: &str, arguments: Value) -> String {
    let mut params = json!({"name": format!("cell__{tool}"), "arguments": arguments});
    for _round in 0..4 {
        let frame = agent.frame("tools/call", params.clone());
        let reply = agent.post(&frame, &[]).await.unwrap();
        let all = toolgate_tests::agent::messages(&reply).unwrap();
        let result = all.last().unwrap()["result"].clone();
        if result["resultType"] != "input_required" {
            let text = result["content"][0]["text"].as_str();
            return text.unwrap_or_else(|| panic!("{all:?}")).to_owned();
        }
        let requests = result["inputRequests"].as_object().unwrap();
        let answers = requests
            .iter()
            .map(|(key, asked)| (key.clone(), answer(asked)));
        params["inputResponses"] = Value::Object(answers.collect());
        params["requestState"] = result["requestState"].clone();
        if params["requestState"].is_null() {
            params.as_object_mut().unwrap().remove("requestState");
        }
    }
    panic!("no end of questions");
}

/// Waits until the relay policy is effective.
async fn ready(cell: &Cell, tool: &'static str) {
    let agent = cell.modern();
    eventually("the server may ask", SOON, || async {
        let name = format!("cell__{tool}");
        let asked = agent.call(&name, json!({"prompt": "?"})).await?;
        anyhow::ensure!(asked["resultType"] == "input_required", "{asked}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_server_asks_clients_of_both_eras() {
    let cell = Cell::of("--legacy-only").await;
    ready(&cell, "test_sampling").await;
    let legacy = cell.legacy().await;
    let modern = cell.modern();
    let before = cell.ran("test_elicitation").await;
    for tool in ["test_elicitation", "test_elicitation_sep1034_defaults"] {
        let arguments = json!({"message": "Who?"});
        let text = talk(&legacy, tool, arguments.clone()).await;
        assert!(
            text.contains("action=accept") && text.contains("Ada"),
            "{text}"
        );
        assert_eq!(rounds(&modern, tool, arguments).await, text);
    }
    assert_eq!(cell.ran("test_elicitation").await, before + 2, "once each");
    let prompt = json!({"prompt": "What?"});
    let text = talk(&legacy, "test_sampling", prompt.clone()).await;
    assert_eq!(text, "LLM response: forty-two");
    assert_eq!(rounds(&modern, "test_sampling", prompt).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_server_asks_clients_of_both_eras() {
    let cell = Cell::of("--modern-only").await;
    ready(&cell, "test_input_required_result_list_roots").await;
    let legacy = cell.legacy().await;
    let modern = cell.modern();
    for (tool, end) in [
        ("elicitation", "Hello, Ada!"),
        ("request_state", "state-ok"),
        ("multiple_inputs", "Thank you for all three."),
        ("multi_round", "All rounds done."),
    ] {
        let tool = format!("test_input_required_result_{tool}");
        assert_eq!(talk(&legacy, &tool, json!({})).await, end, "{tool}");
        assert_eq!(rounds(&modern, &tool, json!({})).await, end, "{tool}");
    }
    let prompt = json!({"name": "cell__test_input_required_result_prompt"});
    let frame = legacy.frame("prompts/get", prompt);
    let said = |question: &Value| json!({"result": answer(question)});
    let all = legacy.converse(&frame, said).await.unwrap();
    let messages = all.last().unwrap()["result"]["messages"].to_string();
    assert!(messages.contains("Ada"), "prompts ask too: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_declares_nothing_is_asked_nothing() {
    for server in ["--legacy-only", "--modern-only"] {
        let cell = Cell::of(server).await;
        let url = cell.up.url("cell");
        let agents = [
            Agent::modern(&url, &cell.token),
            Agent::legacy(&url, &cell.token).await.unwrap(),
        ];
        for agent in agents {
            for tool in ["test_sampling", "test_input_required_result_sampling"] {
                let name = format!("cell__{tool}");
                let called = agent.call(&name, json!({"prompt": "?"})).await;
                if let Ok(result) = called {
                    assert_eq!(result["isError"], true, "{server} {tool}: {result}");
                }
            }
        }
    }
}

/// A load balancer may send the response to any proxy.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_through_another_proxy() {
    let sandbox = Sandbox::new("asks-anywhere").unwrap();
    let etcd = Etcd::start(&sandbox, 1).await.unwrap();
    let server = Server::fixture(&sandbox, "fixture", &["--legacy-only"]);
    let server = server.await.unwrap();
    let plane = ControlPlane::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut urls = Vec::new();
    let mut proxies = Vec::new();
    for name in ["proxy-1", "proxy-2"] {
        let proxy = Proxy::join(&sandbox, name, &plane).await.unwrap();
        urls.push(proxy.url("cell"));
        proxies.push(proxy);
    }
    let cli = plane.cli().unwrap();
    let token = cli.expose("cell", server.url(), "always").await.unwrap();
    for url in &urls {
        let agent = Agent::modern(url, &token);
        let ready = || agent.echo("cell__echo", "hello");
        eventually("every proxy serves", SOON, ready).await.unwrap();
    }
    let here = Agent::modern(&urls[0], &token).declaring(everything());
    let params = json!({"name": "cell__test_elicitation", "arguments": {"message": "Who?"}});
    let frame = here.frame("tools/call", params.clone());
    let reply = here.post(&frame, &[]).await.unwrap();
    let asked = toolgate_tests::agent::messages(&reply).unwrap();
    let asked = &asked.last().unwrap()["result"];
    let requests = asked["inputRequests"].as_object().unwrap();
    let answers = requests
        .iter()
        .map(|(key, asked)| (key.clone(), answer(asked)));
    let mut retry = params;
    retry["inputResponses"] = Value::Object(answers.collect());
    retry["requestState"] = asked["requestState"].clone();
    let there = Agent::modern(&urls[1], &token).declaring(everything());
    let frame = there.frame("tools/call", retry);
    let reply = there.post(&frame, &[]).await.unwrap();
    assert!(reply.text().contains("action=accept"), "{}", reply.text());
    let home = Agent::legacy_with(&urls[0], &token, everything());
    let away = home.await.unwrap().moved_to(&urls[1]);
    let text = talk(&away, "test_elicitation", json!({"message": "Who?"})).await;
    assert!(text.contains("action=accept"), "{text}");
    let counts = server.counts().await.unwrap();
    assert_eq!(counts.tools["test_elicitation"], 2, "once each");
}
