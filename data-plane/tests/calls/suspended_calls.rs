//! Modern clients of a legacy server that sends requests: the client gets `input_required`, and the suspended call is
//! continued once by the same request of the same principal.

use serde_json::{Value, json};
use toolgate_model::{
    MaxAnswer, ResourceKey, SnapshotResource, SnapshotResourceKind, snapshot::SnapshotEntry,
};

use crate::{
    client::TestClient,
    rig::{ANYTHING, NARROW_TOKEN, TOKEN, TestRig, eventually, name},
};

fn client(rig: &TestRig) -> TestClient {
    let mut client = rig.client();
    client.capabilities = json!({"elicitation": {}, "sampling": {}});
    client
}

/// Calls a tool, optionally as a retry with responses.
async fn call(
    client: &TestClient,
    tool: &str,
    text: &str,
    retry: Option<(&Value, Value)>,
) -> Value {
    let mut params = json!({"name": tool, "arguments": {"text": text}});
    if let Some((asked, content)) = retry {
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let answer = json!({"action": "accept", "content": content});
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({key.unwrap(): answer});
    }
    let message = json!({"jsonrpc": "2.0", "id": "r", "method": "tools/call", "params": params});
    let answer = client.modern(message).await.whole().await.json();
    assert_eq!(answer["id"], "r", "{answer}");
    answer
}

async fn input_required(client: &TestClient, tool: &str) -> Value {
    let answer = call(client, tool, "x", None).await;
    let result = answer["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{answer}");
    result
}

fn error_of(answer: &Value) -> (i64, String) {
    let error = &answer["error"];
    let words = error["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    (error["code"].as_i64().unwrap(), words.to_owned())
}

fn has_suspended_calls(rig: &TestRig, count: usize) -> bool {
    let text = rig.metrics.render();
    let line = text
        .lines()
        .find(|line| line.starts_with("toolgate_calls_suspended"));
    line.is_some_and(|line| line.ends_with(&format!(" {count}")))
}

#[tokio::test]
async fn a_call_stays_suspended_until_its_client_retries() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let asked = input_required(&client, "old__ask").await;
    let (_, request) = asked["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["message"], "[old] Which one?");
    assert!(has_suspended_calls(&rig, 1));
    let done = call(&client, "old__ask", "x", Some((&asked, json!({"n": 7})))).await;
    let said = done["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains(r#""content":{"n":7}"#), "{said}");
    assert_eq!(done["result"]["resultType"], "complete");
    assert_eq!(rig.legacy.calls("ask"), 1, "it ran once");
    assert!(has_suspended_calls(&rig, 0));
    let again = call(&client, "old__ask", "x", Some((&asked, json!({"n": 8})))).await;
    let (code, words) = error_of(&again);
    assert_eq!(code, -32602);
    assert!(words.contains("used already"), "{words}");
    assert_eq!(rig.legacy.calls("ask"), 1, "it ran once");
}

#[tokio::test]
async fn the_revocation_of_a_token_cancels_its_suspended_calls() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    input_required(&client, "old__ask").await;
    assert!(has_suspended_calls(&rig, 1));
    rig.source.revoke(TOKEN);
    eventually("the call is cancelled", || has_suspended_calls(&rig, 0)).await;
}

/// The server request is not lost in a flood of notifications.
#[tokio::test]
async fn a_server_request_within_a_flood_is_relayed() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let params = json!({"name": "old__ask_flood", "arguments": {"text": "x"},
        "_meta": {"progressToken": "p"}});
    let message = json!({"jsonrpc": "2.0", "id": "r", "method": "tools/call", "params": params});
    let answer = client.modern(message).await.messages().await.pop().unwrap();
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    assert!(has_suspended_calls(&rig, 1));
}

/// A server keeps its identity as long as owner and endpoint are unchanged.
#[tokio::test]
async fn a_suspended_call_survives_a_settings_change_of_its_server() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let asked = input_required(&client, "old__ask").await;
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|_key, entry| {
            if let SnapshotResource::Server(server) = &*entry.resource {
                let mut server = server.clone();
                server.max_answer = MaxAnswer::new(3).unwrap();
                *entry = SnapshotEntry::new(SnapshotResource::Server(server));
            }
        });
    });
    let done = call(&client, "old__ask", "x", Some((&asked, json!({"n": 7})))).await;
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    assert_eq!(rig.legacy.calls("ask"), 1, "it ran once");
}

#[tokio::test]
async fn a_suspended_call_may_have_several_rounds_and_repeats_missing_answers() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let first = input_required(&client, "old__ask_again").await;
    let mut nothing = first.clone();
    nothing["inputRequests"] = json!({"another": {}});
    let retry = Some((&nothing, json!({})));
    let same = call(&client, "old__ask_again", "x", retry).await["result"].clone();
    assert_eq!(same["inputRequests"], first["inputRequests"], "{same}");
    assert_ne!(same["requestState"], first["requestState"]);
    let retry = Some((&same, json!({"n": 1})));
    let second = call(&client, "old__ask_again", "x", retry).await["result"].clone();
    assert_eq!(second["resultType"], "input_required", "{second}");
    let retry = Some((&second, json!({"n": 2})));
    let done = call(&client, "old__ask_again", "x", retry).await;
    let said = done["result"]["content"][0]["text"].as_str().unwrap();
    assert!(
        said.contains(r#"{"n":1}"#) && said.contains(r#"{"n":2}"#),
        "{said}"
    );
    assert_eq!(rig.legacy.calls("ask_again"), 1);
}

#[tokio::test]
async fn ti_07_only_the_same_request_of_the_same_principal_continues_a_call() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let asked = input_required(&client, "old__ask").await;
    let retry = |asked| Some((asked, json!({"n": 1})));
    let (code, words) = error_of(&call(&client, "old__ask", "y", retry(&asked)).await);
    assert!(
        code == -32602 && words.contains("another request"),
        "{words}"
    );
    let (code, words) = error_of(&call(&client, "old__ask_model", "x", retry(&asked)).await);
    assert!(
        code == -32602 && words.contains("another request"),
        "{words}"
    );
    let mut tampered = asked.clone();
    let state = asked["requestState"].as_str().unwrap();
    tampered["requestState"] = json!(format!("{}A", &state[..state.len() - 1]));
    if tampered == asked {
        tampered["requestState"] = json!(format!("{}Q", &state[..state.len() - 1]));
    }
    let (code, words) = error_of(&call(&client, "old__ask", "x", retry(&tampered)).await);
    assert!(code == -32602 && words.contains("not valid"), "{words}");
    let mut bob = rig.client_with("everything", NARROW_TOKEN);
    bob.capabilities = client.capabilities.clone();
    let (code, _) = error_of(&call(&bob, "old__ask", "x", retry(&asked)).await);
    assert_eq!(code, -32602);
    let mut elsewhere = rig.client_with("other", &client.token);
    elsewhere.capabilities = client.capabilities.clone();
    let (code, words) = error_of(&call(&elsewhere, "old__ask", "x", retry(&asked)).await);
    assert!(code == -32602 && words.contains("not valid"), "{words}");
    let mut stateless = asked.clone();
    stateless["requestState"] = Value::Null;
    let (code, _) = error_of(&call(&client, "old__ask", "x", retry(&stateless)).await);
    assert_eq!(code, -32602);
    // None of the rejected retries consumed the state.
    let done = call(&client, "old__ask", "x", retry(&asked)).await;
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    assert_eq!(rig.legacy.calls("ask"), 1);
}

/// The same for a stateless server, which would accept any state: it gets no call.
#[tokio::test]
async fn ti_07_a_modern_server_gets_its_state_only_from_its_principal_and_request() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let first = input_required(&client, "new__ask_again").await;
    let before = rig.modern.calls("ask_again");
    let state = first["requestState"].as_str().unwrap().to_owned();
    let with = |state: Value| {
        let mut asked = first.clone();
        asked["requestState"] = state;
        asked
    };
    let mut bob = rig.client_with("everything", ANYTHING);
    let mut elsewhere = rig.client_with("other", &client.token);
    for other in [&mut bob, &mut elsewhere] {
        other.capabilities = client.capabilities.clone();
    }
    let given = || json!(state);
    let others = [
        (&client, "new__ask_again", "y"),
        (&client, "new__ask_again", ""),
        (&client, "new__ask", "x"),
        (&client, "new__echo", "x"),
        (&client, "old__ask_again", "x"),
        (&bob, "new__ask_again", "x"),
        (&elsewhere, "new__ask_again", "x"),
    ];
    let forged = [
        json!("after \"one\""),
        json!("after two"),
        json!(""),
        Value::Null,
        json!(1),
        json!(state[1..]),
        json!(state[..state.len() - 2]),
        json!(format!("{state}A")),
        json!(state.to_uppercase()),
        json!("x".repeat(1 << 20)),
    ];
    let others = others.map(|(client, tool, text)| (client, tool, text, with(given())));
    let forged = forged.map(|state| (&client, "new__ask_again", "x", with(state)));
    for (client, tool, text, asked) in others.iter().chain(&forged) {
        let answer = call(client, tool, text, Some((asked, json!({"n": 1})))).await;
        assert_eq!(
            error_of(&answer).0,
            -32602,
            "{tool} {text} {asked}: {answer}"
        );
    }
    let all = || {
        ["ask", "ask_again", "echo"]
            .map(|tool| rig.modern.calls(tool))
            .iter()
            .sum::<usize>()
    };
    assert_eq!(all(), before, "no server was asked");
    assert_eq!(rig.legacy.calls("ask_again"), 0);
    // Two rounds, each with the exact state of the previous one, which the server checks.
    let answer = |asked, n| {
        call(
            &client,
            "new__ask_again",
            "x",
            Some((asked, json!({"n": n}))),
        )
    };
    let second = answer(&first, 1).await["result"].clone();
    assert_eq!(second["resultType"], "input_required", "{second}");
    assert_ne!(second["requestState"], first["requestState"]);
    let done = answer(&second, 2).await;
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    assert_eq!(all(), before + 2);
    assert!(has_suspended_calls(&rig, 0), "nothing is kept");
    // A server that sends no state gets none.
    let stateless = input_required(&client, "new__ask_stateless").await;
    assert!(stateless.get("requestState").is_none(), "{stateless}");
}

#[tokio::test]
async fn a_server_request_without_a_declared_capability_gets_an_error() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let done = call(&client, "old__ask", "x", None).await;
    let said = done["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("-32601"), "{said}");
}

#[tokio::test]
async fn shutdown_cancels_suspended_calls() {
    let mut rig = TestRig::start().await;
    let client = client(&rig);
    input_required(&client, "old__ask").await;
    drop(client);
    let trigger = rig.trigger.take().unwrap();
    tokio::spawn(trigger.drain(std::time::Duration::from_secs(12)));
    eventually("the server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
}

#[tokio::test]
async fn removing_a_gateway_cancels_its_suspended_calls() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let mut other = rig.client_with("other", &client.token);
    other.capabilities = client.capabilities.clone();
    let kept = input_required(&other, "old__ask").await;
    input_required(&client, "old__ask").await;
    assert!(has_suspended_calls(&rig, 2));
    rig.source.configure(|snapshot| {
        let key = ResourceKey {
            kind: SnapshotResourceKind::Gateway,
            name: name("everything"),
        };
        assert!(snapshot.entries.remove(&key).is_some());
    });
    eventually("nothing of it is left", || has_suspended_calls(&rig, 1)).await;
    eventually("the server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
    let done = call(&other, "old__ask", "x", Some((&kept, json!({"n": 7})))).await;
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
}

#[tokio::test]
async fn modern_client_and_server_see_the_server_name_and_their_own_state() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let asked = input_required(&client, "new__ask").await;
    let state = asked["requestState"].as_str().unwrap();
    assert!(!state.contains("one"), "encrypted: {state}");
    let params = &asked["inputRequests"]["who"]["params"];
    assert_eq!(params["message"], "[new] Which one?");
    let done = call(&client, "new__ask", "x", Some((&asked, json!({"n": 7})))).await;
    let said = done["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains(r#""n":7"#), "{said}");
    let failed = call(&client, "new__ask_roots", "x", None).await;
    assert_eq!(failed["result"]["isError"], true, "{failed}");
}

#[tokio::test]
async fn concurrent_server_requests_form_one_round_with_a_key_each() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let first = input_required(&client, "old__ask_many").await;
    let requests = first["inputRequests"].as_object().unwrap();
    let methods: Vec<&Value> = requests.values().map(|asked| &asked["method"]).collect();
    assert_eq!(methods.len(), 3, "{first}");
    assert_eq!(
        methods
            .iter()
            .filter(|m| **m == "elicitation/create")
            .count(),
        2
    );
    // Answered requests are done; the others are repeated.
    let keys: Vec<&String> = requests.keys().collect();
    let answer = |n: u32| json!({"action": "accept", "content": {"n": n}});
    let back = async |asked: &Value, responses: Value| {
        let params = json!({"name": "old__ask_many", "arguments": {"text": "x"},
            "requestState": asked["requestState"], "inputResponses": responses});
        let message =
            json!({"jsonrpc": "2.0", "id": "r", "method": "tools/call", "params": params});
        client.modern(message).await.whole().await.json()["result"].clone()
    };
    let rest = back(&first, json!({keys[0]: answer(1)})).await;
    let left: Vec<&String> = rest["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(left, keys[1..], "{rest}");
    let done = back(&rest, json!({keys[1]: answer(2), keys[2]: answer(3)})).await;
    assert_eq!(done["resultType"], "complete", "{done}");
    let said = done["content"][0]["text"].as_str().unwrap();
    assert!(
        ["1", "2", "3"]
            .iter()
            .all(|n| said.contains(&format!(r#"{{"n":{n}}}"#))),
        "{said}"
    );
    assert_eq!(rig.legacy.calls("ask_many"), 1, "it ran once");
}

/// The call is a new one, and the client is asked again.
#[tokio::test]
async fn answers_without_a_state_are_ignored() {
    let rig = TestRig::start().await;
    let client = client(&rig);
    let with_answers = async |tool: &str| {
        let params = json!({"name": tool, "arguments": {"text": "x"},
            "inputResponses": {"question-1": {"action": "accept", "content": {"n": 1}}}});
        let message =
            json!({"jsonrpc": "2.0", "id": "r", "method": "tools/call", "params": params});
        client.modern(message).await.whole().await.json()
    };
    let plain = with_answers("old__echo").await;
    assert_eq!(plain["result"]["content"][0]["text"], "x", "{plain}");
    let sent = rig.legacy.last("tools/call").unwrap().1;
    assert!(sent["params"].get("inputResponses").is_none(), "{sent}");
    let asked = with_answers("old__ask").await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let answered = call(
        &client,
        "old__ask",
        "x",
        Some((&asked["result"], json!({"n": 7}))),
    )
    .await;
    assert!(answered["result"]["content"].is_array(), "{answered}");
}
