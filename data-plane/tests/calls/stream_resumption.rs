//! Legacy servers that end the stream of a call before the response: the call continues by stream resumption and is
//! never sent again.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_model::{CallTimeouts, Era};

use crate::{
    client::TestClient,
    rig::{TestRig, eventually, within},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

async fn client(rig: &TestRig) -> TestClient {
    let mut client = rig.client();
    client.capabilities = json!({"elicitation": {}});
    client.initialize().await;
    client
}

/// Returns all messages of a call with this script and asserts that the call arrived once.
async fn call_with_script(rig: &TestRig, by: Era, script: &Value) -> Vec<Value> {
    let client = client(rig).await;
    let before = rig.legacy.calls("polled");
    let text = script.to_string();
    let stream = client.call(by, json!("c"), "old__polled", &text).await;
    let messages = match stream.headers["content-type"].to_str().unwrap() {
        "application/json" => vec![stream.whole().await.json()],
        _ => stream.messages().await,
    };
    assert_eq!(
        rig.legacy.calls("polled"),
        before + 1,
        "{by:?}: it ran once"
    );
    messages
}

/// Progress steps that were forwarded, and the result text.
fn steps_and_result(messages: &[Value]) -> (Vec<u64>, String) {
    let step = |message: &Value| message["params"]["progress"].as_u64();
    let steps = messages.iter().filter_map(step).collect();
    let last = messages.last().unwrap();
    assert_eq!(last["id"], "c", "{last}");
    let text = last["result"]["content"][0]["text"].as_str();
    (steps, text.unwrap_or_else(|| panic!("{last}")).to_owned())
}

#[tokio::test]
async fn ht_22_a_call_resumes_wherever_its_stream_is_cut() {
    let rig = TestRig::start().await;
    let cut = [
        // Directly after the priming event, as polling servers do.
        json!([["p:retry=500"], ["a:progress=1", "b:answer=done"]]),
        json!([["p:retry=500", "a:progress=1"], ["b:answer=done"]]),
        // In the middle of an event, which is repeated.
        json!([["p:retry=0", "a:half"], ["a:progress=1", "b:answer=done"]]),
        // Without a `retry` field and with an aborted connection.
        json!([["a:progress=1", ":break"], ["b:answer=done"]]),
        // Two cuts.
        json!([["p:retry=soon"], ["a:progress=1"], ["b:answer=done"]]),
        // Repeated from the beginning.
        json!([
            ["p:retry=1", "a:progress=1"],
            ["p:retry=1", "a:progress=1", "b:answer=done"]
        ]),
        // The same id for every event.
        json!([["a:retry=1", "a:progress=1"], ["a:answer=done"]]),
    ];
    for script in &cut {
        for by in ERAS {
            let messages = call_with_script(&rig, by, script).await;
            let done = (vec![1], "done".to_owned());
            assert_eq!(steps_and_result(&messages), done, "{by:?} {script}");
        }
    }
    let places = [
        "p", "p", "a", "a", "p", "p", "a", "a", "p", "a", "p", "a", "a", "a", "a", "a",
    ];
    assert_eq!(rig.legacy.resume_positions(), places);
    let seen = rig.legacy.seen.lock().unwrap();
    for (headers, _) in &seen.polled.gets {
        assert_eq!(headers["accept"], "text/event-stream");
        assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
        assert!(
            headers["mcp-session-id"]
                .to_str()
                .unwrap()
                .starts_with("session-")
        );
        assert_eq!(headers["authorization"], crate::rig::UPSTREAM_SECRET);
    }
}

#[tokio::test]
async fn ht_22_the_sse_retry_delay_of_a_server_is_respected() {
    let rig = TestRig::start().await;
    let script = json!([["p:retry=2500"], ["b:answer=done"]]);
    call_with_script(&rig, Era::Legacy, &script).await;
    let seen = rig.legacy.seen.lock().unwrap();
    let (_, came) = &seen.polled.gets[0];
    let waited = *came - seen.polled.ends[0];
    assert!(waited >= Duration::from_millis(2_400), "{waited:?}");
    // The upper bound, half as much again, is tested with `StreamCursor`; here `make drill` asserts a figure.
    assert!(waited < within(Duration::from_secs(5)), "{waited:?}");
}

#[tokio::test]
async fn a_call_that_cannot_be_resumed_is_reported_as_broken() {
    let rig = TestRig::start().await;
    let lost = [
        json!([["p:retry=1"], 405]),
        json!([["p:retry=1"], 404]),
        json!([["p:retry=1"], 400]),
        json!([["p:retry=1"], 200]),
        // Without an event id: the stream ends or breaks.
        json!([[":progress=1"]]),
        json!([[":progress=1", ":break"]]),
        // The first resumption succeeds and the second does not.
        json!([["p:retry=1"], ["a:progress=1"], 404]),
    ];
    for script in &lost {
        for by in ERAS {
            let messages = call_with_script(&rig, by, script).await;
            let last = messages.last().unwrap();
            assert_eq!(last["result"]["isError"], true, "{last}");
            let (_, words) = steps_and_result(&messages);
            assert!(words.contains("broke"), "{script}: {words}");
            // A success in between keeps the circuit closed.
            call_with_script(&rig, by, &json!([[":answer=done"]])).await;
        }
    }
}

#[tokio::test]
async fn resumption_does_not_extend_the_call_timeout() {
    let timeouts = CallTimeouts {
        total: Duration::from_secs(6),
        ..CallTimeouts::default()
    };
    let rig = TestRig::with(|_| {}, timeouts).await;
    for retry in ["0", "1000000000000"] {
        let prime = json!([format!("p:retry={retry}")]);
        let script = Value::from(vec![prime; 20]);
        let begun = tokio::time::Instant::now();
        let messages = call_with_script(&rig, Era::Legacy, &script).await;
        let (_, words) = steps_and_result(&messages);
        // The call was ended by its time, not by the script, which has no answer. The figure is asserted by `make drill`.
        assert!(words.contains("in time"), "{retry}: {words}");
        assert!(begun.elapsed() < within(Duration::from_secs(10)), "{retry}");
    }
    let gets = rig.legacy.resume_positions().len();
    assert!(
        (2..=7).contains(&gets),
        "{gets} times, once a second at most"
    );
}

#[tokio::test]
async fn a_server_request_is_relayed_and_answered_across_a_cut() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let asking = [
        // Requested before the cut, answered after it.
        json!([["p:retry=1", "q:ask=q1"], [":wait=q1", "b:answer=done"]]),
        // Requested after the cut, and repeated by the server.
        json!([
            ["p:retry=1"],
            ["q:ask=q2"],
            ["q:ask=q2", ":wait=q2", "b:answer=done"]
        ]),
    ];
    for script in &asking {
        let text = script.to_string();
        let call = client.call(Era::Legacy, json!("c"), "old__polled", &text);
        let mut stream = call.await;
        let question = stream.message().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let answer = json!({"jsonrpc": "2.0", "id": question["id"],
            "result": {"action": "accept", "content": {}}});
        let posted = client.legacy(answer).await.whole().await;
        assert_eq!(posted.status, 202);
        let rest = stream.messages().await;
        assert_eq!(steps_and_result(&rest).1, "done");
        assert_eq!(rest.len(), 1, "it was asked once: {rest:?}");
    }
    assert_eq!(rig.legacy.calls("polled"), 2);
    assert_eq!(rig.legacy.responses().len(), 2);
}

#[tokio::test]
async fn a_suspended_call_continues_across_a_cut() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let script = json!([["p:retry=1"], ["q:ask=q1"], [":wait=q1", "b:answer=done"]]).to_string();
    let params = json!({"name": "old__polled", "arguments": {"text": script}});
    let call = async |params: Value| {
        let message =
            json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params});
        let stream = client.modern(message).await;
        match stream.headers["content-type"].to_str().unwrap() {
            "application/json" => stream.whole().await.json(),
            _ => stream.messages().await.pop().unwrap(),
        }
    };
    let asked = call(params.clone()).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next();
    let mut retry = params;
    retry["requestState"] = asked["requestState"].clone();
    retry["inputResponses"] = json!({key.unwrap(): {"action": "accept", "content": {}}});
    let done = call(retry).await;
    assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
    assert_eq!(rig.legacy.calls("polled"), 1, "it ran once");
    assert_eq!(rig.legacy.resume_positions(), ["p", "q"]);
}

#[tokio::test]
async fn a_call_cancelled_while_disconnected_is_cancelled_at_its_server() {
    let rig = TestRig::start().await;
    let client = client(&rig).await;
    let script = json!([["p:retry=30000"]]).to_string();
    let call = client.call(Era::Modern, json!("c"), "old__polled", &script);
    let away = eventually("its stream has ended", || {
        !rig.legacy.seen.lock().unwrap().polled.ends.is_empty()
    });
    tokio::select! {
        answer = call => panic!("answered: {}", answer.status),
        () = away => {}
    }
    eventually("the server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
    assert_eq!(rig.legacy.resume_positions(), Vec::<String>::new());
}

#[tokio::test]
async fn the_session_stream_is_resumed_for_the_call_in_flight() {
    let rig = TestRig::start().await;
    rig.legacy.seen.lock().unwrap().polled.session_stream = Some("l:retry=1");
    let client = client(&rig).await;
    // The request arrives only on the session stream.
    let script = json!([[":wait=q1", "b:answer=done"], ["m:ask=q1"]]).to_string();
    let call = client.call(Era::Legacy, json!("c"), "old__polled", &script);
    let mut stream = call.await;
    let question = stream.message().await.unwrap();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert_eq!(rig.legacy.resume_positions(), ["l"]);
    let answer = json!({"jsonrpc": "2.0", "id": question["id"],
        "result": {"action": "accept", "content": {}}});
    assert_eq!(client.legacy(answer).await.whole().await.status, 202);
    assert_eq!(steps_and_result(&stream.messages().await).1, "done");
    assert_eq!(rig.legacy.calls("polled"), 1, "it ran once");
}
