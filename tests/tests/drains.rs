//! Shutdown of a proxy of a fleet: streams that only listen end at once, and questions to clients are waited for.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use toolgate_tests::agent::{Agent, answer};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::proxy_fleet::ProxyFleet;

/// Streams per test, and calls that wait for an answer.
const COUNT: usize = 18;

/// Asks the proxy with this index to stop, waits for its end, and checks that nothing was cut off.
async fn stop(fleet: &mut ProxyFleet, at: usize) -> Result<()> {
    let process = fleet
        .proxies
        .get_mut(at)
        .context("no such proxy")?
        .process();
    process.signal("TERM")?;
    process.wait_for_exit(HANG_GUARD).await?;
    check_drained(fleet, at)
}

fn check_drained(fleet: &mut ProxyFleet, at: usize) -> Result<()> {
    let process = fleet
        .proxies
        .get_mut(at)
        .context("no such proxy")?
        .process();
    let log = process.stderr();
    anyhow::ensure!(log.contains("drained") && !log.contains("cut off"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_end_at_once_when_their_proxy_or_the_one_before_it_stops() {
    let mut fleet = ProxyFleet::start("idle-streams", &[]).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..COUNT / 6 {
        let agents = fleet.open_session().await.unwrap();
        for agent in &agents {
            streams.push(agent.listen().await.unwrap());
        }
        for at in 0..fleet.proxies.len() {
            let agent = Agent::modern(&fleet.url(at), &fleet.token);
            streams.push(agent.listen().await.unwrap());
        }
    }
    // Streams of sessions of the first proxy are open through the second one.
    for at in [1, 0, 2] {
        stop(&mut fleet, at).await.unwrap();
    }
    for stream in &mut streams {
        stream.read_to_end(HANG_GUARD).await.unwrap();
    }
}

fn call(agent: &Agent, more: &Value) -> Value {
    let mut params = json!({
        "name": "test_elicitation", "arguments": {"message": "who is there?"},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    let mut frame = agent.frame("tools/call", params);
    frame["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}});
    frame
}

fn given() -> Value {
    json!({"action": "accept", "content": {"username": "ada", "email": "a@b.c"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_the_answers_of_modern_clients() {
    let mut fleet = ProxyFleet::start("drain-modern", &["--legacy-only"])
        .await
        .unwrap();
    let first = Agent::modern(&fleet.url(0), &fleet.token);
    let mut asked = Vec::new();
    for _ in 0..COUNT {
        let frame = call(&first, &json!({}));
        let reply = first.post(&frame, &[]).await.unwrap();
        let result = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
        assert_eq!(result["resultType"], "input_required", "{result}");
        asked.push(result);
    }
    fleet.proxies[0].process().signal("TERM").unwrap();
    refuses_streams(&fleet, 0).await.unwrap();
    for (number, result) in asked.iter().enumerate() {
        let key = result["inputRequests"].as_object().unwrap().keys().next();
        let more = json!({
            "requestState": result["requestState"],
            "inputResponses": {key.unwrap(): given()},
        });
        // The proxy that asked goes on accepting, and so does its listener for peers.
        let agent = Agent::modern(&fleet.url(number % 3), &fleet.token);
        let frame = call(&agent, &more);
        let reply = agent.post(&frame, &[]).await.unwrap();
        let result = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
        assert!(result.to_string().contains("ada"), "{result}");
    }
    let process = fleet.proxies[0].process();
    process.wait_for_exit(HANG_GUARD).await.unwrap();
    check_drained(&mut fleet, 0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_the_answers_of_legacy_clients() {
    let mut fleet = ProxyFleet::start("drain-legacy", &["--legacy-only"])
        .await
        .unwrap();
    let (mut calls, mut questions, mut goes) = (JoinSet::new(), Vec::new(), Vec::new());
    let asks = json!({"elicitation": {}});
    for number in 0..COUNT {
        let home = Agent::legacy_with(&fleet.url(0), &fleet.token, asks.clone())
            .await
            .unwrap();
        let elsewhere = home.at_url(&fleet.url(number % 3));
        let (asked, question) = oneshot::channel();
        let (go, answering) = oneshot::channel();
        questions.push(question);
        goes.push(go);
        calls.spawn(async move {
            let frame = call(&home, &json!({}));
            let all = home
                .converse_through(&elsewhere, &frame, asked, answering)
                .await;
            all.map(|all| all.last().cloned().unwrap_or_default())
        });
    }
    for question in questions {
        question.await.expect("every client is asked");
    }
    fleet.proxies[0].process().signal("TERM").unwrap();
    refuses_streams(&fleet, 0).await.unwrap();
    for go in goes {
        go.send(given()).unwrap();
    }
    while let Some(done) = calls.join_next().await {
        let last = done.unwrap().unwrap();
        assert!(last["result"].to_string().contains("ada"), "{last}");
    }
    let process = fleet.proxies[0].process();
    process.wait_for_exit(HANG_GUARD).await.unwrap();
    check_drained(&mut fleet, 0).unwrap();
}

/// Waits until the drain of this proxy has begun: it opens no stream any more.
async fn refuses_streams(fleet: &ProxyFleet, at: usize) -> Result<()> {
    let agent = Agent::modern(&fleet.url(at), &fleet.token);
    eventually("the drain has begun", HANG_GUARD, || async {
        anyhow::ensure!(agent.listen().await.is_err(), "it opens streams");
        Ok(())
    })
    .await
}
