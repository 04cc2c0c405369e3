//! A server with the sharing policy `shared`: calls of all principals use one upstream session, and requests and
//! results of a call reach only its caller.

use http::Method;
use serde_json::{Value, json};
use toolgate_model::{Era, SessionSharing};

use crate::{
    client::{TestClient, TestResponseStream},
    rig::{ANYTHING, TestRig, eventually},
};

/// Clients of two principals that share an upstream session.
async fn two_clients(rig: &TestRig) -> [TestClient; 2] {
    rig.set_sharing(SessionSharing::Shared);
    let mut both = [rig.client(), rig.client_with("everything", ANYTHING)];
    for client in &mut both {
        client.capabilities = json!({"elicitation": {}});
        client.initialize().await;
    }
    both
}

async fn call(client: &TestClient, tool: &str) -> TestResponseStream {
    client.call(Era::Legacy, json!("c"), tool, "x").await
}

async fn answer(client: &TestClient, question: &Value, n: u32) {
    let result = json!({"action": "accept", "content": {"n": n}});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(client.legacy(answer).await.whole().await.status, 202);
}

fn answered_number(last: &Value) -> Value {
    let text = last["result"]["content"][0]["text"].as_str();
    let said: Value = serde_json::from_str(text.unwrap_or_else(|| panic!("{last}"))).unwrap();
    said[0]["result"]["content"]["n"].clone()
}

/// Asserts that all calls used the same upstream session.
fn assert_one_session(rig: &TestRig) {
    let seen = rig.legacy.seen.lock().unwrap();
    let calls = seen
        .requests
        .iter()
        .filter(|(_, message)| message["method"] == "tools/call");
    let sessions: Vec<_> = calls
        .map(|(headers, _)| headers["mcp-session-id"].to_str().unwrap())
        .collect();
    assert!(sessions.len() > 1);
    assert!(sessions.iter().all(|id| *id == "session-1"), "{sessions:?}");
    assert_eq!(seen.opened, 1);
}

#[tokio::test]
async fn principals_of_a_shared_session_get_only_their_own_requests_and_results() {
    let rig = TestRig::start().await;
    let [alice, carol] = two_clients(&rig).await;
    let (mut hers, mut theirs) = (
        call(&alice, "old__ask").await,
        call(&carol, "old__ask").await,
    );
    let (to_alice, to_carol) = (
        hers.message().await.unwrap(),
        theirs.message().await.unwrap(),
    );
    assert_ne!(to_alice["id"], to_carol["id"]);
    // Answers to requests of the other principal are dropped.
    answer(&carol, &to_alice, 66).await;
    answer(&alice, &to_carol, 66).await;
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
    answer(&carol, &to_carol, 2).await;
    answer(&alice, &to_alice, 1).await;
    assert_eq!(answered_number(&hers.message().await.unwrap()), 1);
    assert_eq!(answered_number(&theirs.message().await.unwrap()), 2);
    assert_eq!((hers.message().await, theirs.message().await), (None, None));
    assert_one_session(&rig);
}

#[tokio::test]
async fn a_server_request_outside_of_a_call_reaches_no_principal_of_a_shared_session() {
    let rig = TestRig::start().await;
    let [alice, carol] = two_clients(&rig).await;
    let mut hers = call(&alice, "old__slow").await;
    let mut theirs = call(&carol, "old__slow").await;
    for stream in [&mut hers, &mut theirs] {
        let first = stream.message().await.unwrap();
        assert_eq!(first["method"], "notifications/progress");
    }
    eventually("somebody listens", || rig.legacy.feeds.receiver_count() > 0).await;
    let ask = json!({"jsonrpc": "2.0", "id": "whose", "method": "elicitation/create",
        "params": {"message": "And?"}});
    rig.legacy.feeds.send(ask).unwrap();
    eventually("it is refused", || !rig.legacy.responses().is_empty()).await;
    assert_eq!(rig.legacy.responses()[0]["error"]["code"], -32601);
    assert_one_session(&rig);
}

#[tokio::test]
async fn cancelling_or_leaving_affects_no_other_principal_of_a_shared_session() {
    let rig = TestRig::start().await;
    let [alice, carol] = two_clients(&rig).await;
    let (mut hers, mut theirs) = (
        call(&alice, "old__ask").await,
        call(&carol, "old__ask").await,
    );
    let question = theirs.message().await.unwrap();
    hers.message().await.unwrap();
    // Both calls have the same id.
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": "c"}});
    assert_eq!(alice.legacy(cancel).await.whole().await.status, 202);
    assert_eq!(hers.message().await, None);
    let session = alice.session.clone().unwrap();
    let named = [("mcp-session-id", &*session)];
    let over = alice.raw(Method::DELETE, &named, "").await;
    assert_eq!(over.whole().await.status, 200);
    answer(&carol, &question, 2).await;
    assert_eq!(answered_number(&theirs.message().await.unwrap()), 2);
    assert_one_session(&rig);
    assert_eq!(
        rig.legacy.seen.lock().unwrap().deleted,
        0,
        "it is carol's too"
    );
}

#[tokio::test]
async fn a_suspended_call_of_a_shared_session_is_continued_only_by_its_principal() {
    let rig = TestRig::start().await;
    let [alice, carol] = two_clients(&rig).await;
    let call = async |client: &TestClient, back: Value| {
        let mut params = json!({"name": "old__ask", "arguments": {"text": "x"}});
        let more = back.as_object().unwrap().clone();
        params.as_object_mut().unwrap().extend(more);
        let message =
            json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params});
        client.modern(message).await.whole().await.json()
    };
    let mut back = Vec::new();
    for (client, n) in [(&alice, 1), (&carol, 2)] {
        let asked = call(client, json!({})).await["result"].clone();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let said = json!({"action": "accept", "content": {"n": n}});
        back.push(json!({"requestState": asked["requestState"],
            "inputResponses": {key.unwrap(): said}}));
    }
    for (client, state) in [(&alice, &back[1]), (&carol, &back[0])] {
        let stolen = call(client, state.clone()).await;
        assert_eq!(stolen["error"]["code"], -32602, "{stolen}");
    }
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
    assert_eq!(answered_number(&call(&carol, back[1].clone()).await), 2);
    assert_eq!(answered_number(&call(&alice, back[0].clone()).await), 1);
    assert_one_session(&rig);
}
