//! A server with several endpoints is called as long as one of them can be connected.

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::{CommandLine, refused, shown, start_deployment, text};
use toolgate_tests::upstream_server::UpstreamServer;

/// Calls after the first endpoint has ended: more than open the circuit of a server.
const CALLS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_when_one_of_two_endpoints_ends() {
    let (sandbox, up, _cli) = start_deployment("endpoints").await.unwrap();
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
        let token = up.expose_spec(&name, &spec, "single").await.unwrap();
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

/// Waits until `describe server` has a line with these texts.
async fn described(cli: &CommandLine, server: &str, texts: [&str; 2]) -> Result<()> {
    let line = format!("describe server {server}");
    eventually("the state of the endpoint is told", HANG_GUARD, || async {
        let told = shown(cli, &line).await?;
        let mut lines = told.lines();
        let found = lines.any(|line| texts.iter().all(|text| line.contains(text)));
        ensure!(found, "{told}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_named_with_its_failure_until_it_answers_again() {
    let (sandbox, up, cli) = start_deployment("dead-endpoint").await.unwrap();
    let start = async |name: &str| UpstreamServer::fixture(&sandbox, name, &[]).await;
    let (mut first, second) = (start("one").await.unwrap(), start("two").await.unwrap());
    let spec = format!(
        "{{endpoints: [{{url: '{}', region: eu}}, {{url: '{}'}}]}}",
        first.url(),
        second.url()
    );
    let token = up.expose_spec("both", &spec, "single").await.unwrap();
    let agent = Agent::modern(&up.url("both"), &token);
    let url = first.url().to_owned();
    first.process().kill().unwrap();
    agent.call("headers", json!({})).await.unwrap();

    let failed = "fails for proxy local";
    described(&cli, "both", [&url, failed]).await.unwrap();
    described(&cli, "both", [second.url(), "ok"]).await.unwrap();
    let listed = shown(&cli, "get servers").await.unwrap();
    assert!(listed.contains("1 of 2 endpoints fails"), "{listed}");
    // Probes go on to the second endpoint too, and tell of the first.
    let probed = cli.output(&["server", "probe", "both"]).await.unwrap();
    assert!(probed.status.success(), "{probed:?}");
    assert!(
        text(&probed.stderr).contains("endpoint 1 of 2"),
        "{probed:?}"
    );
    let doctor = cli.output(&["doctor"]).await.unwrap();
    let doctor = text(&doctor.stdout);
    let origin = url.trim_end_matches("/mcp");
    let named = format!("endpoint 1 of 2 ({origin})");
    assert!(doctor.contains(&named), "{doctor}");

    // A URL that would drop both is refused.
    let line = "server update both --url http://127.0.0.1:9/mcp";
    let (code, said) = refused(&cli, line).await.unwrap();
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("--replace-endpoints") && said.contains(&url),
        "{said}"
    );

    // It is no longer named once it answers again.
    let address = origin.trim_start_matches("http://").parse().unwrap();
    let again = UpstreamServer::fixture_at(&sandbox, "again", address, &[]);
    let _again = again.await.unwrap();
    described(&cli, "both", [&url, "ok"]).await.unwrap();
}
