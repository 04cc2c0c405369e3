//! A server with many oddities behind a gateway: it is found, and each of its answers reaches clients of both eras.

use toolgate_tests::agent::Agent;
use toolgate_tests::odd_server::{ACCEPTED_VERSION, ODD_TOOLS, OddServer, TEXT};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};

use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_server_is_found_and_each_of_its_answers_reaches_the_client() {
    let sandbox = Sandbox::new("odd").unwrap();
    let server = OddServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("odd", &server.url(), "single").await.unwrap();
    let url = up.url("odd");
    let legacy = Agent::legacy(&url, &token).await.unwrap();
    for agent in [Agent::modern(&url, &token), legacy] {
        let mut listed = agent.tools().await.unwrap();
        listed.sort();
        let mut expected = ODD_TOOLS.to_vec();
        expected.sort_unstable();
        assert_eq!(listed, expected);
        for tool in ODD_TOOLS {
            let call = json!({"name": tool, "arguments": {}});
            let reply = agent.request("tools/call", call).await.unwrap();
            // Not read as JSON: an unpaired surrogate is forwarded as it is written.
            let body = reply.text();
            assert!(body.contains(TEXT), "{tool}: {body}");
            assert!(!body.contains("null"), "{tool}: {body}");
            assert_eq!(body.contains("\\ud83d"), *tool == "surrogate", "{body}");
            assert_eq!(reply.header("content-encoding"), None);
        }
    }
    let cli = up.cli().unwrap();
    let shown = cli.run(&["describe", "server", "odd"]).await.unwrap();
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("declares none in its capabilities"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_pinned_at_the_command_line_is_spoken() {
    let sandbox = Sandbox::new("pinned").unwrap();
    let server = OddServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    let add = async |name: &str, version: &str| {
        let url = server.url();
        let pin = ["--protocol-version", version];
        let add = ["server", "add", name, "--url", &url, pin[0], pin[1]];
        let added = cli.run(&add).await;
        let shown = cli.json(&["get", "catalogue", name]).await.unwrap();
        (added.is_ok(), shown)
    };
    let (added, seen) = add("fits", ACCEPTED_VERSION).await;
    assert!(added);
    assert_eq!(seen["protocolVersion"], ACCEPTED_VERSION, "{seen}");
    // The server is added all the same, with the problem.
    let (_, seen) = add("other", "2025-06-18").await;
    let problem = seen["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("error -32602"), "{seen}");
}
