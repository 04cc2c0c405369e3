//! Servers of the legacy era behind a gateway, for clients of both eras: the official everything-server over HTTP+SSE
//! (2024-11-05 transport), and over Streamable HTTP after a restart.
#![expect(clippy::unwrap_used, reason = "scenarios")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, messages};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::port;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Lists, calls, failures of the tool and of the request, and progress ahead of an answer.
async fn check_calls(agent: &Agent) {
    let tools = agent.tools().await.unwrap();
    assert!(tools.contains(&"old__echo".to_owned()), "{tools:?}");
    agent.echo("old__echo", "over one stream").await.unwrap();
    let wrong = agent.call("old__echo", json!({})).await.unwrap();
    assert_eq!(wrong["isError"], true, "{wrong}");
    let unknown = agent.call("old__nothing", json!({})).await;
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("-32602"), "{unknown}");
    let params = json!({
        "name": "old__trigger-long-running-operation",
        "arguments": {"duration": 0.3, "steps": 3},
        "_meta": {"progressToken": "mine"},
    });
    let frame = agent.frame("tools/call", params);
    let reply = agent.post(&frame, &[]).await.unwrap();
    let all = messages(&reply).unwrap();
    let steps: Vec<&Value> = all
        .iter()
        .filter(|message| message["params"]["progressToken"] == "mine")
        .map(|message| &message["params"]["progress"])
        .collect();
    assert_eq!(steps, [1, 2, 3], "{all:?}");
    assert!(all.last().unwrap().get("result").is_some(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_work_with_an_http_sse_server() {
    let sandbox = Sandbox::new("old").unwrap();
    let address = port::free().unwrap();
    let mut server = UpstreamServer::everything_http_sse(&sandbox, address)
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("old", server.url(), "always").await.unwrap();
    let modern = Agent::modern(&up.url("old"), &token);
    eventually("a first call", HANG_GUARD, || {
        modern.echo("old__echo", "hi")
    })
    .await
    .unwrap();
    let legacy = Agent::legacy(&up.url("old"), &token).await.unwrap();
    check_calls(&modern).await;
    check_calls(&legacy).await;
    tokio::join!(check_calls(&modern), check_calls(&legacy));

    // A call that waits when the stream is lost fails and is not repeated.
    let params = json!({
        "name": "old__trigger-long-running-operation",
        "arguments": {"duration": 60, "steps": 2},
    });
    let frame = modern.frame("tools/call", params);
    let (reply, ()) = tokio::join!(modern.post(&frame, &[]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.process().kill().unwrap();
    });
    let last = messages(&reply.unwrap()).unwrap().pop().unwrap();
    assert_eq!(last["result"]["isError"], true, "{last}");

    // The next call reaches the restarted server.
    let _back = UpstreamServer::everything_http_sse(&sandbox, address)
        .await
        .unwrap();
    eventually("a call of the new process", HANG_GUARD, || {
        legacy.echo("old__echo", "again")
    })
    .await
    .unwrap();
    check_calls(&modern).await;
}

/// The official server answers 400 with a JSON-RPC error to an unknown session.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_after_server_everything_is_restarted_under_load() {
    let sandbox = Sandbox::new("restarted").unwrap();
    let address = port::free().unwrap();
    let mut server = UpstreamServer::everything_streamable_at(&sandbox, address)
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("all", server.url(), "always").await.unwrap();
    let modern = Agent::modern(&up.url("all"), &token);
    eventually("a first call", HANG_GUARD, || {
        modern.echo("all__echo", "hi")
    })
    .await
    .unwrap();
    let legacy = Agent::legacy(&up.url("all"), &token).await.unwrap();
    let agents = [&modern, &legacy];
    let stopped = AtomicBool::new(false);
    let load = futures_util::future::join_all(agents.into_iter().cycle().take(8).map(|agent| {
        let stopped = &stopped;
        async move {
            while !stopped.load(Ordering::Relaxed) {
                // Calls fail while the server is away.
                let _failed = agent.echo("all__echo", "load").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }));
    let restarts = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.process().kill().unwrap();
            server = UpstreamServer::everything_streamable_at(&sandbox, address)
                .await
                .unwrap();
            for agent in agents {
                eventually("a call of the new process", HANG_GUARD, || {
                    agent.echo("all__echo", "again")
                })
                .await
                .unwrap();
            }
            // From here on every call is answered.
            for _ in 0..20 {
                for agent in agents {
                    agent.echo("all__echo", "steady").await.unwrap();
                }
            }
        }
        stopped.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, restarts);
}
