//! Any proxy can serve any request: session state stays with the proxy that opened the session, and a client whose
//! requests go to different proxies sees no difference.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, answer, refusal};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::proxy_fleet::ProxyFleet;

/// Waits until the server has begun the one call of `sleep`.
async fn asleep(fleet: &ProxyFleet) -> Result<()> {
    eventually("the call has begun", HANG_GUARD, || async {
        let begun = fleet.server.counts().await?.tools.get("sleep").copied();
        ensure!(begun == Some(1), "{begun:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_works_on_every_proxy() {
    let fleet = ProxyFleet::start("everywhere", &[]).await.unwrap();
    let agents = fleet.open_session().await.unwrap();
    for (at, agent) in agents.iter().enumerate() {
        agent.echo("echo", &format!("through {at}")).await.unwrap();
    }

    // Called through the second proxy, cancelled through the third.
    let call = json!({
        "jsonrpc": "2.0", "id": "slow", "method": "tools/call",
        "params": {"name": "sleep", "arguments": {"ms": 20_000}},
    });
    let back = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"},
    });
    let cancelled = async {
        asleep(&fleet).await?;
        agents[2].post(&back, &[]).await
    };
    let (called, cancelled) = tokio::join!(agents[1].post(&call, &[]), cancelled);
    assert_eq!(cancelled.unwrap().status, 202);
    assert_eq!(called.unwrap().status, 202, "nobody waits for an answer");
    eventually("the server has stopped", HANG_GUARD, || async {
        let counts = fleet.server.counts().await?;
        ensure!(counts.cancelled == 1, "{} cancelled", counts.cancelled);
        Ok(())
    })
    .await
    .unwrap();

    // A session ended on one proxy is ended on all.
    assert!(agents[2].delete().await.unwrap().status.is_success());
    for agent in &agents {
        let reply = agent.request("tools/list", json!({})).await.unwrap();
        assert_eq!(reply.status, 404, "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_loss_of_its_proxy() {
    let mut fleet = ProxyFleet::start("homeless", &[]).await.unwrap();
    let agents = fleet.open_session().await.unwrap();
    agents[1].echo("echo", "before").await.unwrap();
    let slow = json!({
        "jsonrpc": "2.0", "id": 77, "method": "tools/call",
        "params": {"name": "sleep", "arguments": {"ms": 20_000}},
    });
    let lost = async {
        asleep(&fleet).await?;
        fleet.proxies[0].process().kill()
    };
    let (cut_off, killed) = tokio::join!(agents[1].post(&slow, &[]), lost);
    killed.unwrap();
    // A call in flight may have taken effect: the error says so, and the call is not repeated.
    let (status, code, words) = refusal(&cut_off.unwrap()).unwrap();
    assert_eq!((status, code), (502, -32603), "{words}");
    assert_eq!(fleet.server.counts().await.unwrap().tools["sleep"], 1);
    for agent in &agents[1..] {
        agent.echo("echo", "afterwards").await.unwrap();
    }
    // The owning proxy is back without the session state; the session continues.
    fleet.proxies[0].restart().await.unwrap();
    for agent in &agents {
        eventually("everywhere again", HANG_GUARD, || {
            agent.echo("echo", "again")
        })
        .await
        .unwrap();
    }
}

/// A legacy server sends a request during a call: the call stays with its proxy, the response may go to any proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_call_gets_its_answer_through_any_proxy() {
    let fleet = ProxyFleet::start("parked", &["--legacy-only"])
        .await
        .unwrap();
    let ask = |agent: &Agent, more: &Value| {
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
    };
    let first = Agent::modern(&fleet.url(0), &fleet.token);
    let frame = ask(&first, &json!({}));
    let reply = first.post(&frame, &[]).await.unwrap();
    let result = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
    assert_eq!(result["resultType"], "input_required", "{result}");
    let key = result["inputRequests"].as_object().unwrap().keys().next();
    let given = json!({"action": "accept", "content": {"username": "ada", "email": "a@b.c"}});
    let more = json!({
        "requestState": result["requestState"],
        "inputResponses": {key.unwrap(): given},
    });
    let second = Agent::modern(&fleet.url(1), &fleet.token);
    let frame = ask(&second, &more);
    let reply = second.post(&frame, &[]).await.unwrap();
    let result = answer(&reply, frame["id"].as_u64().unwrap()).unwrap();
    assert!(result.to_string().contains("ada"), "{result}");
    assert_eq!(
        fleet.server.counts().await.unwrap().tools["test_elicitation"],
        1
    );
    // A response is accepted once, on any proxy.
    let third = Agent::modern(&fleet.url(2), &fleet.token);
    let reply = third.post(&ask(&third, &more), &[]).await.unwrap();
    let (_, code, words) = refusal(&reply).unwrap();
    assert_eq!(code, -32602, "{words}");
}

/// The peer listener does not serve clients.
#[tokio::test(flavor = "multi_thread")]
async fn the_peer_listener_rejects_unknown_clients() {
    let mut fleet = ProxyFleet::start("strangers", &[]).await.unwrap();
    let errors = fleet.proxies[0].process().stderr();
    let at = errors
        .split("requests of peers are served")
        .nth(1)
        .and_then(|rest| rest.split("127.0.0.1:").nth(1))
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .unwrap();
    let url = format!("http://127.0.0.1:{at}/v1/mcp/main");
    let plain = Agent::modern(&url, &fleet.token);
    assert!(plain.request("tools/list", json!({})).await.is_err());
    let agent = Agent::modern(&fleet.url(0), &fleet.token);
    agent.echo("echo", "undisturbed").await.unwrap();
}
