//! Tool settings of an operator, from a document to the call, through the real control plane and proxy.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::agent::{Agent, refusal};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::start_deployment;

const SHAPED_GATEWAY: &str = r#"apiVersion: toolgate/v1
kind: Gateway
metadata: {name: sums}
spec:
  bindings:
    - server: demo
      allTools: true
      timeout: 10s
      shapes:
        add:
          alias: add_to_forty
          description: Adds to forty.
          fixed: {b: "40"}
        echo:
          hidden: [message]
"#;

/// Input schema of one tool, as a client gets it.
async fn tool_schema(agent: &Agent, tool: &str) -> Result<String> {
    let reply = agent.request("tools/list", json!({})).await?;
    let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let tools = answer["result"]["tools"].as_array().cloned();
    let found = tools.unwrap_or_default().into_iter();
    let found: Vec<_> = found.filter(|listed| listed["name"] == tool).collect();
    ensure!(found.len() == 1, "{tool} is not listed once: {answer}");
    Ok(found[0]["inputSchema"]["properties"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn argument_shapes_of_a_document_apply_and_end_with_its_deletion() {
    let (sandbox, mut up, cli) = start_deployment("shaped").await.unwrap();
    let file = sandbox.join("sums.yaml");
    fs::write(&file, SHAPED_GATEWAY).unwrap();
    let file = file.display().to_string();
    cli.run(&["apply", "-f", &file]).await.unwrap();
    let token = cli.token("adder", &[]).await.unwrap();
    let agent = Agent::modern(&up.url("sums"), &token);
    let seen = eventually("the shaped tool is listed", HANG_GUARD, || {
        tool_schema(&agent, "add_to_forty")
    })
    .await
    .unwrap();
    assert!(seen.contains("\"a\"") && !seen.contains("\"b\""), "{seen}");
    let hidden = tool_schema(&agent, "demo__echo").await.unwrap();
    assert!(!hidden.contains("message"), "{hidden}");

    let sum = agent.call("add_to_forty", json!({"a": 2})).await.unwrap();
    assert_eq!(sum["content"][0]["text"], "42", "{sum}");
    let params = json!({"name": "add_to_forty", "arguments": {"a": 2, "b": 3}});
    let refused = agent.request("tools/call", params).await.unwrap();
    let (_status, code, words) = refusal(&refused).unwrap();
    assert_eq!(code, -32602, "{words}");
    assert!(words.contains("`b`"), "{words}");
    let proxies = cli.run(&["proxies"]).await.unwrap();
    let proxies = String::from_utf8(proxies.stdout).unwrap();
    assert!(!proxies.contains("refus"), "{proxies}");

    // After its deletion the gateway is gone, also for a restarted proxy.
    cli.run(&["delete", "gateway", "sums"]).await.unwrap();
    for _ in 0..2 {
        eventually("it is gone", HANG_GUARD, || async {
            let reply = agent.request("tools/list", json!({})).await?;
            ensure!(reply.status == 404, "{}", reply.status);
            Ok(())
        })
        .await
        .unwrap();
        up.restart(&[]).await.unwrap();
    }
}
