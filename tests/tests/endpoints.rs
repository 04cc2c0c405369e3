//! A server with several endpoints is called as long as one of them can be connected.

use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::toolgate::start_deployment;
use toolgate_tests::upstream_server::UpstreamServer;

/// Calls after the first endpoint has ended: more than open the circuit of a server.
const CALLS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_when_one_of_two_endpoints_ends() {
    let (sandbox, up, cli) = start_deployment("endpoints").await.unwrap();
    for flag in ["--modern-only", "--legacy-only"] {
        let name = format!("server{flag}").replace("--", "-");
        let start = async |number: u32| {
            let name = format!("{name}-{number}");
            UpstreamServer::fixture(&sandbox, &name, &[flag]).await
        };
        let mut first = start(1).await.unwrap();
        let second = start(2).await.unwrap();
        let spec = format!(
            "{{endpoints: [{{url: '{}'}}, {{url: '{}'}}]}}",
            first.url(),
            second.url()
        );
        let token = cli.expose_spec(&name, &spec, "single").await.unwrap();
        let url = up.url(&name);
        let modern = Agent::modern(&url, &token);
        let legacy = Agent::legacy(&url, &token).await.unwrap();
        for agent in [&modern, &legacy] {
            agent.call("headers", json!({})).await.unwrap();
        }
        first.process().kill().unwrap();
        for number in 0..CALLS {
            for agent in [&modern, &legacy] {
                let called = agent.call("headers", json!({})).await;
                assert!(called.is_ok(), "{flag}, call {number}: {called:?}");
            }
        }
    }
}
