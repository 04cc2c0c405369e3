//! Legacy servers that require a URL elicitation before a call (error -32042): capable clients get the elicitation,
//! others get the URL as text, and the call runs once after it.

use serde_json::{Value, json};
use toolgate_model::Era;
use toolgate_session::SUSPENDED_CALLS_PER_PRINCIPAL;

use crate::{
    client::TestClient,
    rig::{NARROW_TOKEN, TestRig},
};

fn client(rig: &TestRig, capabilities: Value) -> TestClient {
    let mut client = rig.client();
    client.capabilities = capabilities;
    client
}

/// Call of a modern client, optionally as a retry with responses.
async fn call(client: &TestClient, tool: &str, text: &str, back: Option<(&Value, Value)>) -> Value {
    let mut params = json!({"name": tool, "arguments": {"text": text}});
    if let Some((asked, responses)) = back {
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = responses;
    }
    let message = json!({"jsonrpc": "2.0", "id": "v", "method": "tools/call", "params": params});
    client.modern(message).await.whole().await.json()
}

fn accept_response() -> Value {
    json!({"page-1": {"action": "accept"}})
}

fn tool_text(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn cf_4_a_call_runs_after_the_url_elicitation_of_a_modern_client() {
    let rig = TestRig::start().await;
    let client = client(&rig, json!({"elicitation": {"url": {}}}));
    for tool in ["visit", "visit_stream"] {
        let exposed = format!("old__{tool}");
        let answer = call(&client, &exposed, "x", None).await;
        let asked = answer["result"].clone();
        assert_eq!(asked["resultType"], "input_required", "{answer}");
        let page = &asked["inputRequests"]["page-1"];
        assert_eq!(page["method"], "elicitation/create");
        let params = json!({"mode": "url", "url": "https://login.example/connect",
            "message": "[old] (login.example) Sign in"});
        assert_eq!(
            page["params"], params,
            "no id: the modern revision has none"
        );
        assert_eq!(rig.legacy.calls(tool), 1);
        let done = call(&client, &exposed, "x", Some((&asked, accept_response()))).await;
        assert_eq!(done["result"]["content"][0]["text"], "x", "{done}");
        assert_eq!(rig.legacy.calls(tool), 2);
        let (_, sent) = rig.legacy.last("tools/call").unwrap();
        for ours in ["requestState", "inputResponses"] {
            assert!(sent["params"].get(ours).is_none(), "{sent}");
        }
        // The server did not run the call before, so a second retry is a second call.
        let twice = call(&client, &exposed, "x", Some((&asked, accept_response()))).await;
        assert_eq!(twice["result"]["content"][0]["text"], "x", "{twice}");
        assert_eq!(rig.legacy.calls(tool), 3);
    }
}

/// Only the server knows if the page was visited, so a retry without an answer is sent to it.
#[tokio::test]
async fn a_retry_without_an_elicitation_answer_is_left_to_the_server() {
    let rig = TestRig::start().await;
    let client = client(&rig, json!({"elicitation": {"url": {}}}));
    let asked = call(&client, "old__visit_always", "x", None).await["result"].clone();
    let again = call(&client, "old__visit_always", "x", Some((&asked, json!({})))).await;
    let again = again["result"].clone();
    assert_eq!(again["inputRequests"], asked["inputRequests"]);
    assert_ne!(again["requestState"], asked["requestState"]);
    assert_eq!(rig.legacy.calls("visit_always"), 2);
}

#[tokio::test]
async fn a_retry_after_a_url_elicitation_is_served_by_any_proxy() {
    let rig = TestRig::start().await;
    let capabilities = json!({"elicitation": {"url": {}}});
    let before = client(&rig, capabilities.clone());
    let asked = call(&before, "old__visit", "x", None).await["result"].clone();
    let rig = rig.replace_proxy();
    let after = client(&rig, capabilities);
    let done = call(&after, "old__visit", "x", Some((&asked, accept_response()))).await;
    assert_eq!(done["result"]["content"][0]["text"], "x", "{done}");
    assert_eq!(rig.legacy.calls("visit"), 2);
}

#[tokio::test]
async fn a_url_elicitation_takes_no_suspended_call_slot() {
    let rig = TestRig::start().await;
    let client = client(&rig, json!({"elicitation": {"url": {}}}));
    for _ in 0..=SUSPENDED_CALLS_PER_PRINCIPAL {
        let answer = call(&client, "old__visit_always", "x", None).await;
        assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    }
    let text = rig.metrics.render();
    let suspended =
        |line: &&str| line.starts_with("toolgate_calls_suspended") && !line.ends_with(" 0");
    assert_eq!(text.lines().find(suspended), None);
}

/// A server that sends a request during the call and then requires a URL elicitation, repeatedly.
#[tokio::test]
async fn other_server_requests_do_not_reset_the_url_elicitation_limit() {
    let rig = TestRig::start().await;
    let client = client(&rig, json!({"elicitation": {"form": {}, "url": {}}}));
    let mut answer = call(&client, "old__ask_visit", "x", None).await;
    let mut visits = 0;
    while answer["result"]["resultType"] == "input_required" {
        let asked = answer["result"].clone();
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let key = key.unwrap().clone();
        visits += usize::from(key == "page-1");
        assert!(visits <= 10, "{answer}");
        let said = json!({key: {"action": "accept", "content": {"n": 1}}});
        answer = call(&client, "old__ask_visit", "x", Some((&asked, said))).await;
    }
    assert_eq!(visits, 10);
    assert!(
        tool_text(&answer).contains("https://login.example/connect"),
        "{answer}"
    );
}

#[tokio::test]
async fn only_the_same_request_of_the_same_principal_continues_a_url_elicitation() {
    let rig = TestRig::start().await;
    let capabilities = json!({"elicitation": {"url": {}}});
    let client = client(&rig, capabilities.clone());
    let asked = call(&client, "old__visit", "x", None).await["result"].clone();
    let other = call(
        &client,
        "old__visit",
        "y",
        Some((&asked, accept_response())),
    )
    .await;
    assert_eq!(other["error"]["code"], -32602, "{other}");
    let mut bob = rig.client_with("everything", NARROW_TOKEN);
    bob.capabilities = capabilities;
    let stolen = call(&bob, "old__visit", "x", Some((&asked, accept_response()))).await;
    assert_eq!(stolen["error"]["code"], -32602, "{stolen}");
    assert_eq!(rig.legacy.calls("visit"), 1);
}

#[tokio::test]
async fn a_declined_url_elicitation_is_not_repeated_and_repetitions_are_limited() {
    let rig = TestRig::start().await;
    let client = client(&rig, json!({"elicitation": {"url": {}}}));
    let asked = call(&client, "old__visit", "x", None).await["result"].clone();
    let no = json!({"page-1": {"action": "decline"}});
    let declined = call(&client, "old__visit", "x", Some((&asked, no))).await;
    assert!(tool_text(&declined).contains("not given"), "{declined}");
    assert_eq!(rig.legacy.calls("visit"), 1);
    let mut answer = call(&client, "old__visit_always", "x", None).await;
    let mut sent = 0;
    while answer["result"]["resultType"] == "input_required" {
        sent += 1;
        assert!(sent <= 10, "{answer}");
        let asked = answer["result"].clone();
        answer = call(
            &client,
            "old__visit_always",
            "x",
            Some((&asked, accept_response())),
        )
        .await;
    }
    assert!(
        tool_text(&answer).contains("https://login.example/connect"),
        "{answer}"
    );
}

#[tokio::test]
async fn jr_4_clients_without_url_elicitation_get_the_url_as_text() {
    let rig = TestRig::start().await;
    let cannot = [
        json!({}),
        json!({"elicitation": {}}),
        json!({"sampling": {}}),
    ];
    for era in [Era::Modern, Era::Legacy] {
        for capabilities in &cannot {
            let mut client = client(&rig, capabilities.clone());
            if era == Era::Legacy {
                client.initialize().await;
            }
            let answer = client.call(era, json!(1), "old__visit_always", "x").await;
            let answer = answer.whole().await.json();
            let words = tool_text(&answer);
            assert!(
                words.contains("[old] Sign in: https://login.example/connect"),
                "{words}"
            );
        }
    }
    // In versions without URL mode the declaration has no effect.
    let mut early = client(&rig, json!({"elicitation": {"url": {}}}));
    early.version = "2025-06-18".to_owned();
    early.initialize().await;
    let answer = early
        .call(Era::Legacy, json!(1), "old__visit_always", "x")
        .await;
    assert!(tool_text(&answer.whole().await.json()).contains("https://login.example/"));
}

#[tokio::test]
async fn a_legacy_client_with_url_elicitation_gets_error_32042() {
    let rig = TestRig::start().await;
    let mut client = client(&rig, json!({"elicitation": {"url": {}}}));
    client.initialize().await;
    let answer = client.call(Era::Legacy, json!(1), "old__visit", "x").await;
    let error = answer.whole().await.json()["error"].clone();
    assert_eq!(error["code"], -32042, "{error}");
    let page = json!({"mode": "url", "elicitationId": "e-1",
        "url": "https://login.example/connect", "message": "[old] (login.example) Sign in"});
    assert_eq!(error["data"], json!({"elicitations": [page], "more": 1}));
    let answer = client.call(Era::Legacy, json!(2), "old__visit", "x").await;
    let result = answer.whole().await.json()["result"].clone();
    assert_eq!(result["content"][0]["text"], "x", "{result}");
}

#[tokio::test]
async fn mc_07_a_url_that_is_not_a_web_page_is_not_relayed() {
    let rig = TestRig::start().await;
    for era in [Era::Modern, Era::Legacy] {
        let mut client = client(&rig, json!({"elicitation": {"url": {}}}));
        if era == Era::Legacy {
            client.initialize().await;
        }
        let answer = client.call(era, json!(1), "old__visit_nowhere", "x").await;
        let answer = answer.whole().await;
        assert!(!answer.text.contains("javascript"), "{answer:?}");
        tool_text(&answer.json());
    }
}
