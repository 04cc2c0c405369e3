//! Server requests in every era pair: a real server of each era, raw clients of both, one gateway between.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "one scenario, four times"
)]

use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ControlPlaneProcess, ProxyProcess, ToolgateUp};
use toolgate_tests::upstream_server::UpstreamServer;

/// Gateway with a single server that may send all kinds of requests.
struct RelayGateway {
    up: ToolgateUp,
    server: UpstreamServer,
    token: String,
    _sandbox: Sandbox,
}

impl RelayGateway {
    async fn start(server: &str) -> Self {
        let sandbox = Sandbox::new("asks").unwrap();
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[server])
            .await
            .unwrap();
        let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let token = up.expose("cell", server.url(), "always").await.unwrap();
        let cli = up.cli().unwrap();
        cli.allow_all_requests("cell", server.url()).await.unwrap();
        Self {
            up,
            server,
            token,
            _sandbox: sandbox,
        }
    }

    fn modern(&self) -> Agent {
        Agent::modern(&self.up.url("cell"), &self.token).declaring(all_capabilities())
    }

    async fn legacy(&self) -> Agent {
        let url = self.up.url("cell");
        Agent::legacy_with(&url, &self.token, all_capabilities())
            .await
            .unwrap()
    }

    async fn executions(&self, tool: &str) -> u64 {
        let counts = self.server.counts().await.unwrap();
        counts.tools.get(tool).copied().unwrap_or_default()
    }
}

fn all_capabilities() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

/// Response of a client to a server request.
fn client_answer(question: &Value) -> Value {
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
async fn call_on_stream(agent: &Agent, tool: &str, arguments: Value) -> String {
    let params = json!({"name": format!("cell__{tool}"), "arguments": arguments});
    let frame = agent.frame("tools/call", params);
    let said = |question: &Value| json!({"result": client_answer(question)});
    let all = agent.converse(&frame, said).await.unwrap();
    let last = all.last().unwrap();
    assert_eq!(last["id"], frame["id"], "{all:?}");
    let text = last["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {last}"))
        .to_owned()
}

/// Text of a call's result, with the call repeated with responses as often as the server requires.
async fn call_in_rounds(agent: &Agent, tool: &str, arguments: Value) -> String {
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
            .map(|(key, asked)| (key.clone(), client_answer(asked)));
        params["inputResponses"] = Value::Object(answers.collect());
        params["requestState"] = result["requestState"].clone();
        if params["requestState"].is_null() {
            params.as_object_mut().unwrap().remove("requestState");
        }
    }
    panic!("no end of questions");
}

/// Waits until the relay policy is effective.
async fn await_relay_policy(cell: &RelayGateway, tool: &'static str) {
    let agent = cell.modern();
    eventually("the server may ask", HANG_GUARD, || async {
        let name = format!("cell__{tool}");
        let asked = agent.call(&name, json!({"prompt": "?"})).await?;
        anyhow::ensure!(asked["resultType"] == "input_required", "{asked}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_legacy_server_reach_clients_of_both_eras() {
    let cell = RelayGateway::start("--legacy-only").await;
    await_relay_policy(&cell, "test_sampling").await;
    let legacy = cell.legacy().await;
    let modern = cell.modern();
    let before = cell.executions("test_elicitation").await;
    for tool in ["test_elicitation", "test_elicitation_sep1034_defaults"] {
        let arguments = json!({"message": "Who?"});
        let text = call_on_stream(&legacy, tool, arguments.clone()).await;
        assert!(
            text.contains("action=accept") && text.contains("Ada"),
            "{text}"
        );
        assert_eq!(call_in_rounds(&modern, tool, arguments).await, text);
    }
    assert_eq!(
        cell.executions("test_elicitation").await,
        before + 2,
        "once each"
    );
    let prompt = json!({"prompt": "What?"});
    let text = call_on_stream(&legacy, "test_sampling", prompt.clone()).await;
    assert_eq!(text, "LLM response: forty-two");
    assert_eq!(call_in_rounds(&modern, "test_sampling", prompt).await, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_modern_server_reach_clients_of_both_eras() {
    let cell = RelayGateway::start("--modern-only").await;
    await_relay_policy(&cell, "test_input_required_result_list_roots").await;
    let legacy = cell.legacy().await;
    let modern = cell.modern();
    for (tool, end) in [
        ("elicitation", "Hello, Ada!"),
        ("request_state", "state-ok"),
        ("multiple_inputs", "Thank you for all three."),
        ("multi_round", "All rounds done."),
    ] {
        let tool = format!("test_input_required_result_{tool}");
        assert_eq!(
            call_on_stream(&legacy, &tool, json!({})).await,
            end,
            "{tool}"
        );
        assert_eq!(
            call_in_rounds(&modern, &tool, json!({})).await,
            end,
            "{tool}"
        );
    }
    let prompt = json!({"name": "cell__test_input_required_result_prompt"});
    let frame = legacy.frame("prompts/get", prompt);
    let said = |question: &Value| json!({"result": client_answer(question)});
    let all = legacy.converse(&frame, said).await.unwrap();
    let messages = all.last().unwrap()["result"]["messages"].to_string();
    assert!(messages.contains("Ada"), "prompts ask too: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_capabilities_get_no_server_requests() {
    for server in ["--legacy-only", "--modern-only"] {
        let cell = RelayGateway::start(server).await;
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
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &["--legacy-only"]);
    let server = server.await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut urls = Vec::new();
    let mut proxies = Vec::new();
    for name in ["proxy-1", "proxy-2"] {
        let proxy = ProxyProcess::join(&sandbox, name, &plane).await.unwrap();
        urls.push(proxy.url("cell"));
        proxies.push(proxy);
    }
    let cli = plane.cli().unwrap();
    let token = cli.expose("cell", server.url(), "always").await.unwrap();
    for url in &urls {
        let agent = Agent::modern(url, &token);
        let ready = || agent.echo("cell__echo", "hello");
        eventually("every proxy serves", HANG_GUARD, ready)
            .await
            .unwrap();
    }
    let here = Agent::modern(&urls[0], &token).declaring(all_capabilities());
    let params = json!({"name": "cell__test_elicitation", "arguments": {"message": "Who?"}});
    let frame = here.frame("tools/call", params.clone());
    let reply = here.post(&frame, &[]).await.unwrap();
    let asked = toolgate_tests::agent::messages(&reply).unwrap();
    let asked = &asked.last().unwrap()["result"];
    let requests = asked["inputRequests"].as_object().unwrap();
    let answers = requests
        .iter()
        .map(|(key, asked)| (key.clone(), client_answer(asked)));
    let mut retry = params;
    retry["inputResponses"] = Value::Object(answers.collect());
    retry["requestState"] = asked["requestState"].clone();
    let there = Agent::modern(&urls[1], &token).declaring(all_capabilities());
    let frame = there.frame("tools/call", retry);
    let reply = there.post(&frame, &[]).await.unwrap();
    assert!(reply.text().contains("action=accept"), "{}", reply.text());
    let home = Agent::legacy_with(&urls[0], &token, all_capabilities());
    let away = home.await.unwrap().at_url(&urls[1]);
    let text = call_on_stream(&away, "test_elicitation", json!({"message": "Who?"})).await;
    assert!(text.contains("action=accept"), "{text}");
    let counts = server.counts().await.unwrap();
    assert_eq!(counts.tools["test_elicitation"], 2, "once each");
}
