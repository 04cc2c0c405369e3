//! Strict clients in front of a server with malformed definitions: every client lists what can be listed, and the
//! operator is told what is left out and why.

use anyhow::{Context, Result, ensure};
use rmcp::model::{
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::malformed_server::{
    LISTED_PROMPTS, LISTED_RESOURCES, LISTED_TEMPLATES, LISTED_TOOLS, MalformedServer,
    REJECTED_TOOLS, UNUSUAL_TOOL,
};
use toolgate_tests::real_clients::{LEGACY, MODERN, RealClient, ScriptRuntime};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};

const CLIENTS: &[RealClient] = &[
    RealClient::new(
        "TypeScript SDK 1.32.2",
        ScriptRuntime::Node,
        &["lists.mjs", "v1"],
        LEGACY,
    ),
    RealClient::new(
        "TypeScript SDK 2.4.0",
        ScriptRuntime::Node,
        &["lists.mjs", "v2"],
        MODERN,
    ),
    RealClient::new(
        "Python mcp 1.30.0",
        ScriptRuntime::Python(1),
        &["lists.py", "sdk1", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "Python mcp 2.3.0, auto",
        ScriptRuntime::Python(2),
        &["lists.py", "sdk2", "auto"],
        MODERN,
    ),
    RealClient::new(
        "Python mcp 2.3.0, legacy",
        ScriptRuntime::Python(2),
        &["lists.py", "sdk2", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "FastMCP 4.1.2, auto",
        ScriptRuntime::Python(2),
        &["lists.py", "fastmcp", "auto"],
        MODERN,
    ),
    RealClient::new(
        "FastMCP 4.1.2, legacy",
        ScriptRuntime::Python(2),
        &["lists.py", "fastmcp", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "langchain-mcp-adapters 0.3.2",
        ScriptRuntime::Python(1),
        &["lists.py", "langchain", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "mcp-use 1.7.1",
        ScriptRuntime::Python(1),
        &["lists.py", "mcp_use", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "mcp-remote 0.15.1",
        ScriptRuntime::Node,
        &["lists.mjs", "remote"],
        LEGACY,
    ),
];

/// Lists as every client has to report them. The order of a list is not part of the protocol.
fn expected() -> Value {
    let exposed = |uris: &[&str]| -> Vec<String> {
        let mut uris: Vec<_> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        uris.sort();
        uris
    };
    json!({
        "tools": exposed(LISTED_TOOLS),
        "prompts": exposed(LISTED_PROMPTS),
        "resources": exposed(LISTED_RESOURCES),
        "templates": exposed(LISTED_TEMPLATES),
    })
}

/// Report with its lists sorted, without the prefix that keeps URIs of different servers apart.
fn sorted(report: &Value) -> Value {
    let mut report = report.clone();
    for list in report
        .as_object_mut()
        .into_iter()
        .flat_map(|it| it.values_mut())
    {
        let mut names: Vec<String> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|name| name.trim_start_matches("malformed+").to_owned())
            .collect();
        names.sort();
        *list = json!(names);
    }
    report
}

async fn check_client(client: &RealClient, up: &ToolgateUp, token: &str) -> Result<()> {
    let url = up.url("malformed");
    let report = client.run(up.data(), &url, token, &[]).await?;
    ensure!(report.get("failed").is_none(), "{report}");
    let (seen, mut expected) = (sorted(&report), expected());
    // Some clients have no function for some of the lists.
    if let (Some(seen), Some(expected)) = (seen.as_object(), expected.as_object_mut()) {
        ensure!(seen.contains_key("tools"), "{report}");
        expected.retain(|list, _| seen.contains_key(list));
    }
    ensure!(seen == expected, "listed {seen}, not {expected}");
    Ok(())
}

async fn listed<T: DeserializeOwned>(agent: &Agent, method: &str) -> Result<T> {
    let reply = agent.request(method, json!({})).await?.json()?;
    let result = reply.get("result").cloned().unwrap_or_default();
    serde_json::from_value(result).with_context(|| format!("{method} is not what rmcp accepts"))
}

async fn check_rmcp(agent: &Agent) -> Result<()> {
    let tools: ListToolsResult = listed(agent, "tools/list").await?;
    ensure!(tools.tools.len() == LISTED_TOOLS.len(), "{tools:?}");
    let prompts: ListPromptsResult = listed(agent, "prompts/list").await?;
    ensure!(prompts.prompts.len() == LISTED_PROMPTS.len(), "{prompts:?}");
    let resources: ListResourcesResult = listed(agent, "resources/list").await?;
    ensure!(
        resources.resources.len() == LISTED_RESOURCES.len(),
        "{resources:?}"
    );
    let templates: ListResourceTemplatesResult = listed(agent, "resources/templates/list").await?;
    ensure!(
        templates.resource_templates.len() == LISTED_TEMPLATES.len(),
        "{templates:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_strict_client_lists_a_server_with_malformed_definitions() {
    let sandbox = Sandbox::new("malformed").unwrap();
    let server = MalformedServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .expose("malformed", &server.url(), "single")
        .await
        .unwrap();
    let mut failures = Vec::new();
    for client in CLIENTS {
        if let Err(error) = check_client(client, &up, &token).await {
            failures.push(format!("{}: {error:#}", client.name));
        }
    }
    let legacy = Agent::legacy(&up.url("malformed"), &token).await.unwrap();
    for agent in [Agent::modern(&up.url("malformed"), &token), legacy] {
        if let Err(error) = check_rmcp(&agent).await {
            failures.push(format!("rmcp: {error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_with_an_unusual_name_is_called_under_its_exposed_name() {
    let sandbox = Sandbox::new("unusual").unwrap();
    let server = MalformedServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let url = server.url();
    let token = up.expose("malformed", &url, "single").await.unwrap();
    let url = up.url("malformed");
    let legacy = Agent::legacy(&url, &token).await.unwrap();
    let (own, exposed) = UNUSUAL_TOOL;
    for agent in [Agent::modern(&url, &token), legacy] {
        let result = agent.call(exposed, json!({})).await.unwrap();
        let seen = &result["content"][0]["text"];
        assert_eq!(seen, own, "{result}");
        agent.call(own, json!({})).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_left_out_is_a_problem_of_its_server() {
    let sandbox = Sandbox::new("left-out").unwrap();
    let server = MalformedServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    up.expose("malformed", &server.url(), "single")
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let shown = cli.run(&["describe", "server", "malformed"]).await.unwrap();
    let shown = text(&shown.stdout);
    // A problem text names the first of them and counts the rest.
    let (tool, member) = REJECTED_TOOLS[0];
    assert!(shown.contains(tool) && shown.contains(member), "{shown}");
    assert!(!shown.contains("empty_schema`:"), "{shown}");
    // The probe has not failed, and the server is ready.
    let probed = cli.run(&["server", "probe", "malformed"]).await.unwrap();
    let (found, told) = (text(&probed.stdout), text(&probed.stderr));
    assert!(
        found.contains("tools, ") || found.contains("tools found"),
        "{found}"
    );
    assert!(
        told.contains("warning: ") && !told.contains("failed"),
        "{told}"
    );
    cli.run(&["wait", "server", "malformed", "--timeout", "5s"])
        .await
        .unwrap();
}
