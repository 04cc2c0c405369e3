//! Server requests to legacy clients: sent on the stream of the call and answered with a POST, for servers of either
//! era.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use toolgate_model::{Era, ResourceKey, SnapshotResourceKind};

use crate::{
    client::{TestClient, TestResponseStream},
    rig::{TOKEN, TestRig, eventually, exposed, name, within},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

async fn client(rig: &TestRig) -> TestClient {
    let mut client = rig.client();
    client.capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    client.initialize().await;
    client
}

async fn call(client: &TestClient, era: Era, tool: &str) -> TestResponseStream {
    client
        .call(Era::Legacy, json!("c"), &exposed(era, tool), "x")
        .await
}

async fn post(client: &TestClient, message: Value) -> u16 {
    client.legacy(message).await.whole().await.status.as_u16()
}

fn accept_response(question: &Value, content: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": question["id"],
        "result": {"action": "accept", "content": content}})
}

fn text(last: &Value) -> Value {
    assert_eq!(last["id"], "c", "{last}");
    let text = last["result"]["content"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("no text in {last}"))).unwrap()
}

#[tokio::test]
async fn a_server_request_is_relayed_under_a_gateway_id_and_its_answer_returned() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    for era in ERAS {
        let mut stream = call(&client, era, "ask").await;
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        let question = stream.message().await.unwrap();
        assert_eq!(question["method"], "elicitation/create");
        let id = question["id"].as_str().unwrap();
        assert!(id.starts_with("proxy-one:"), "{id}");
        let server = if era == Era::Legacy { "old" } else { "new" };
        let words = format!("[{server}] Which one?");
        assert_eq!(question["params"]["message"], words.as_str());
        let answer = accept_response(&question, &json!({"n": 7}));
        assert_eq!(post(&client, answer.clone()).await, 202);
        let last = stream.message().await.unwrap();
        let said = json!({"action": "accept", "content": {"n": 7}});
        let expected = match era {
            Era::Legacy => json!([{"result": said}]),
            Era::Modern => json!({"who": said}),
        };
        assert_eq!(text(&last), expected);
        assert_eq!(stream.message().await, None);
        // Late, repeated and unknown responses are accepted and dropped.
        assert_eq!(post(&client, answer).await, 202);
    }
    let posted = rig.legacy.responses();
    assert_eq!(posted.len(), 1, "{posted:?}");
    let (_, hello) = rig.legacy.last("initialize").unwrap();
    // The relay policy of this server does not allow roots.
    let declared = json!({"elicitation": {}, "sampling": {}});
    assert_eq!(hello["params"]["capabilities"], declared);
    let (_, sent) = rig.modern.last("tools/call").unwrap();
    let meta = &sent["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(*meta, declared);
}

#[tokio::test]
async fn a_call_may_have_several_server_requests_including_sampling() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    for era in ERAS {
        let mut stream = call(&client, era, "ask_again").await;
        for n in 0..2 {
            let question = stream.message().await.unwrap();
            assert_eq!(
                post(&client, accept_response(&question, &json!({"n": n}))).await,
                202
            );
        }
        let said = text(&stream.message().await.unwrap());
        assert!(said.to_string().contains("\"n\":1"), "{said}");
        let mut stream = call(&client, era, "ask_model").await;
        let question = stream.message().await.unwrap();
        assert_eq!(question["params"], json!({"maxTokens": 5}));
        let error = json!({"jsonrpc": "2.0", "id": question["id"],
            "error": {"code": -1, "message": "the person says no"}});
        assert_eq!(post(&client, error).await, 202);
        let last = stream.message().await.unwrap();
        match era {
            Era::Legacy => assert_eq!(text(&last)[0]["error"]["code"], -1),
            Era::Modern => assert_eq!(last["result"]["isError"], true, "{last}"),
        }
    }
    assert_eq!(rig.modern.calls("ask_again"), 3);
}

#[tokio::test]
async fn answers_from_other_clients_are_dropped() {
    let rig = TestRig::start().await;
    let (asked, other) = (client(&rig).await, client(&rig).await);
    let mut stream = call(&asked, Era::Legacy, "ask").await;
    let question = stream.message().await.unwrap();
    let foreign = accept_response(&question, &json!({"n": "foreign"}));
    assert_eq!(post(&other, foreign).await, 202);
    let mut guessed = accept_response(&question, &json!({"n": "guessed"}));
    guessed["id"] = json!("proxy-one:00000000000000000000000000000000");
    assert_eq!(post(&asked, guessed).await, 202);
    let mut elsewhere = accept_response(&question, &json!({"n": "elsewhere"}));
    let id = question["id"].as_str().unwrap();
    elsewhere["id"] = json!(id.replace("proxy-one", "proxy-two"));
    assert_eq!(post(&asked, elsewhere).await, 400);
    assert_eq!(
        post(&asked, accept_response(&question, &json!({"n": 1}))).await,
        202
    );
    let said = text(&stream.message().await.unwrap());
    assert_eq!(said[0]["result"]["content"], json!({"n": 1}));
}

#[tokio::test]
async fn undeclared_server_requests_are_not_relayed() {
    let rig = TestRig::start().await;
    let full = client(&rig).await;
    let mut plain = rig.client();
    plain.initialize().await;
    for (client, tool) in [(&full, "ask_roots"), (&plain, "ask"), (&plain, "ask_model")] {
        let refused = call(client, Era::Legacy, tool).await.whole().await;
        let last = refused.json();
        assert_eq!(text(&last)[0]["error"]["code"], -32601, "{tool}");
        let failed = call(client, Era::Modern, tool).await.whole().await.json();
        assert_eq!(failed["result"]["isError"], true, "{failed}");
    }
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 2, "a link for each");
}

#[tokio::test]
async fn a_cancelled_server_request_is_cancelled_at_the_client() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let mut stream = call(&client, Era::Legacy, "ask_back").await;
    let question = stream.message().await.unwrap();
    let cancelled = stream.message().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert_eq!(text(&stream.message().await.unwrap()), json!([]));
    assert_eq!(
        post(&client, accept_response(&question, &json!({}))).await,
        202
    );
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
}

#[tokio::test]
async fn cancelling_a_call_cancels_its_server_requests() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let mut stream = call(&client, Era::Legacy, "ask").await;
    let question = stream.message().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": "c"}});
    assert_eq!(post(&client, cancel).await, 202);
    assert_eq!(stream.message().await, None);
    eventually("the server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
    assert_eq!(
        post(&client, accept_response(&question, &json!({}))).await,
        202
    );
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
    eventually("nothing is left", || {
        let text = rig.metrics.render();
        let line = text
            .lines()
            .find(|line| line.starts_with("toolgate_elicitations"));
        line.is_some_and(|line| line.ends_with(" 0"))
    })
    .await;
}

/// Returns `true` if the metric of pending server requests equals `count`.
fn has_pending_requests(rig: &TestRig, count: usize) -> bool {
    let text = rig.metrics.render();
    let line = text
        .lines()
        .find(|line| line.starts_with("toolgate_elicitations"));
    line.is_some_and(|line| line.ends_with(&format!(" {count}")))
}

#[tokio::test]
async fn server_requests_end_with_the_session_and_servers_get_errors() {
    for era in ERAS {
        let rig = TestRig::start().await;
        let (ended, other) = (client(&rig).await, client(&rig).await);
        let mut goes_on = call(&other, era, "ask").await;
        let question = goes_on.message().await.unwrap();
        let mut stream = call(&ended, era, "ask").await;
        stream.message().await.unwrap();
        assert!(has_pending_requests(&rig, 2), "both");
        let session = ended.session.clone().unwrap();
        let headers = [("mcp-session-id", &*session)];
        let over = ended.raw(Method::DELETE, &headers, "").await.whole().await;
        assert_eq!(over.status, 200);
        let end = tokio::time::timeout(within(Duration::from_secs(2)), stream.message()).await;
        assert_eq!(end.expect("at once"), None);
        eventually("nothing of it is left", || has_pending_requests(&rig, 1)).await;
        if era == Era::Legacy {
            eventually("the server is told", || {
                rig.legacy.last("notifications/cancelled").is_some()
            })
            .await;
        }
        assert_eq!(
            post(&other, accept_response(&question, &json!({"n": 1}))).await,
            202
        );
        text(&goes_on.message().await.unwrap());
    }
}

/// A disconnected client has a short time to answer, connected clients until shortly before the drain's deadline. Then the
/// call gets its answer all the same.
#[tokio::test]
async fn a_drain_waits_for_client_answers_until_shortly_before_its_deadline() {
    for era in ERAS {
        let mut rig = TestRig::start().await;
        let (left, stays) = (client(&rig).await, client(&rig).await);
        let mut stream = call(&left, era, "ask").await;
        stream.message().await.unwrap();
        drop(stream);
        let mut stream = call(&stays, era, "ask").await;
        stream.message().await.unwrap();
        assert!(has_pending_requests(&rig, 2), "both");
        let trigger = rig.trigger.take().unwrap();
        // The sixth of it that is left before the deadline is enough on a busy machine.
        let drained = tokio::spawn(trigger.drain(Duration::from_secs(18)));
        let one_is_left = || has_pending_requests(&rig, 1);
        eventually("the connected client is waited for", one_is_left).await;
        assert!(!drained.is_finished());
        let last = stream.messages().await.pop().unwrap();
        assert_eq!(last["id"], "c", "there is an answer: {last}");
        let outcome = drained.await.unwrap();
        assert_eq!(outcome, toolgate_runtime::DrainOutcome::Drained);
    }
}

/// The call continues after the end of its session, and later server requests fail.
#[tokio::test]
async fn an_ended_session_gets_no_server_request() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let mut stream = call(&client, Era::Legacy, "slow").await;
    stream.message().await.unwrap();
    eventually("somebody listens", || rig.legacy.feeds.receiver_count() > 0).await;
    let session = client.session.clone().unwrap();
    let headers = [("mcp-session-id", &*session)];
    let over = client.raw(Method::DELETE, &headers, "").await.whole().await;
    assert_eq!(over.status, 200);
    let ask = json!({"jsonrpc": "2.0", "id": "late", "method": "elicitation/create",
        "params": {"message": "And?"}});
    rig.legacy.feeds.send(ask).unwrap();
    eventually("the server is told", || !rig.legacy.responses().is_empty()).await;
    let told = rig.legacy.responses();
    assert!(told[0]["error"].is_object(), "{told:?}");
    assert!(has_pending_requests(&rig, 0));
}

#[tokio::test]
async fn server_requests_end_with_the_token_of_their_client() {
    for era in ERAS {
        let rig = TestRig::start().await;
        let client = client(&rig).await;
        let mut stream = call(&client, era, "ask").await;
        stream.message().await.unwrap();
        rig.source.revoke(TOKEN);
        let end = tokio::time::timeout(within(Duration::from_secs(2)), stream.message()).await;
        assert_eq!(end.expect("at once"), None);
        eventually("nothing is left", || has_pending_requests(&rig, 0)).await;
        if era == Era::Legacy {
            eventually("the server is told", || {
                rig.legacy.last("notifications/cancelled").is_some()
            })
            .await;
        }
    }
}

/// Removes a gateway; the tokens stay.
fn remove_gateway(rig: &TestRig, gateway: &str) {
    rig.source.configure(|snapshot| {
        let key = ResourceKey {
            kind: SnapshotResourceKind::Gateway,
            name: name(gateway),
        };
        assert!(snapshot.entries.remove(&key).is_some());
    });
}

#[tokio::test]
async fn server_requests_end_with_the_gateway_of_their_client() {
    for era in ERAS {
        let rig = TestRig::start().await;
        let gone = client(&rig).await;
        let mut stays = rig.client_with("other", TOKEN);
        stays.capabilities = gone.capabilities.clone();
        stays.initialize().await;
        let mut goes_on = call(&stays, era, "ask").await;
        let question = goes_on.message().await.unwrap();
        let mut stream = call(&gone, era, "ask").await;
        stream.message().await.unwrap();
        assert!(has_pending_requests(&rig, 2), "both");
        remove_gateway(&rig, "everything");
        let end = tokio::time::timeout(within(Duration::from_secs(2)), stream.message()).await;
        assert_eq!(end.expect("at once"), None);
        eventually("nothing of it is left", || has_pending_requests(&rig, 1)).await;
        if era == Era::Legacy {
            eventually("the server is told", || {
                rig.legacy.last("notifications/cancelled").is_some()
            })
            .await;
        }
        let answer = accept_response(&question, &json!({"n": 1}));
        assert_eq!(post(&stays, answer).await, 202);
        text(&goes_on.message().await.unwrap());
    }
}

/// The call continues after the removal of its gateway, and later server requests fail.
#[tokio::test]
async fn a_client_of_a_removed_gateway_gets_no_server_request() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let mut stream = call(&client, Era::Legacy, "slow").await;
    stream.message().await.unwrap();
    eventually("somebody listens", || rig.legacy.feeds.receiver_count() > 0).await;
    remove_gateway(&rig, "everything");
    let ask = json!({"jsonrpc": "2.0", "id": "late", "method": "elicitation/create",
        "params": {"message": "And?"}});
    rig.legacy.feeds.send(ask).unwrap();
    eventually("the server is told", || !rig.legacy.responses().is_empty()).await;
    let told = rig.legacy.responses();
    assert!(told[0]["error"].is_object(), "{told:?}");
    assert!(has_pending_requests(&rig, 0));
}

#[tokio::test]
async fn server_requests_end_when_the_token_of_their_client_expires() {
    for era in ERAS {
        let rig = TestRig::start().await;
        rig.source.expire_token("wide", Duration::from_secs(3));
        let client = client(&rig).await;
        let mut stream = call(&client, era, "ask").await;
        stream.message().await.unwrap();
        let taken_back =
            tokio::time::timeout(within(Duration::from_secs(5)), stream.message()).await;
        let taken_back = taken_back.expect("with the token").unwrap();
        assert_eq!(taken_back["method"], "notifications/cancelled");
        eventually("nothing is left", || has_pending_requests(&rig, 0)).await;
        let last = stream.message().await.unwrap();
        assert_eq!(last["id"], "c", "{last}");
        if era == Era::Legacy {
            assert!(text(&last)[0]["error"].is_object(), "{last}");
        }
    }
}

#[tokio::test]
async fn a_server_request_outside_of_a_call_goes_to_the_sole_call_or_is_rejected() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let ask = |id: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create",
            "params": {"message": "And?"}})
    };
    let slow = |id: &'static str| {
        let name = exposed(Era::Legacy, "slow");
        let client = client.clone();
        async move { client.call(Era::Legacy, json!(id), &name, "x").await }
    };
    let mut first = slow("one").await;
    assert_eq!(
        first.message().await.unwrap()["method"],
        "notifications/progress"
    );
    eventually("somebody listens", || rig.legacy.feeds.receiver_count() > 0).await;
    rig.legacy.feeds.send(ask("alone")).unwrap();
    let question = first.message().await.unwrap();
    assert_eq!(question["params"]["message"], "[old] And?");
    assert_eq!(
        post(&client, accept_response(&question, &json!({}))).await,
        202
    );
    let mut second = slow("two").await;
    second.message().await.unwrap();
    rig.legacy.feeds.send(ask("together")).unwrap();
    eventually("both are answered", || rig.legacy.responses().len() == 2).await;
    let answers = rig.legacy.responses();
    let of = |id: &str| answers.iter().find(|said| said["id"] == id).unwrap();
    assert_eq!(of("alone")["result"]["action"], "accept");
    assert_eq!(of("together")["error"]["code"], -32601);
}

/// Some servers send the head of a stream with its first message. The streams of the sessions are open nevertheless.
#[tokio::test]
async fn a_call_does_not_wait_for_the_stream_of_a_server_that_holds_back_its_head() {
    let rig = TestRig::start().await;
    rig.legacy.seen.lock().unwrap().holds_back_stream_heads = true;
    let client = rig.client();
    let mut times = Vec::new();
    for _ in 0..6 {
        let began = tokio::time::Instant::now();
        let called = client.call(Era::Modern, json!(1), "old__echo", "x").await;
        let answer = called.whole().await.json();
        assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
        times.push(began.elapsed());
        rig.legacy.forget_sessions();
    }
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 6);
    let (first, later) = (times[0], times.iter().min().unwrap());
    assert!(*later < first / 2, "{times:?}");
}

/// A server that waits for an answer would hold the call until its timeout.
#[tokio::test]
async fn a_request_that_no_client_can_get_is_refused_to_its_server_at_once() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let cases = [
        (Era::Legacy, "ask", ERAS),
        (Era::Legacy, "ask_apart", ERAS),
        (Era::Modern, "ask_outright", ERAS),
    ];
    for (server, tool, clients) in cases {
        for era in clients {
            let name = exposed(server, tool);
            let called = client.call(era, json!("c"), &name, "x");
            let answered = async { called.await.whole().await };
            let answer = tokio::time::timeout(within(Duration::from_secs(5)), answered).await;
            let answer =
                answer.unwrap_or_else(|_| panic!("{tool} of {server:?} hangs for {era:?}"));
            let last = answer.text.trim().lines().next_back().unwrap();
            let last = last.strip_prefix("data: ").unwrap_or(last);
            let refused = text(&serde_json::from_str(last).unwrap());
            assert_eq!(refused[0]["error"]["code"], -32601, "{tool}: {refused}");
        }
    }
}
