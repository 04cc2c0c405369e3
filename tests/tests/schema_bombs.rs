//! Schemas and patterns that take long to evaluate: a call of their tool costs what a call of any other tool does, and a
//! list is answered from memory.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::is_drill;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method};
use toolgate_tests::toolgate::ToolgateUp;

/// Calls of each tool.
const CALLS: u32 = 200;
/// Processor time of a call relative to one of the plain tool.
const MAX_RATIO: f64 = 3.0;
/// Processor time of a call or list; asserted by `make drill`.
const MAX_TIME: Duration = Duration::from_millis(100);
/// Depth of nested alternatives.
const DEPTH: usize = 24;
/// Tool whose schema is cheap.
const PLAIN: &str = "plain";

/// Alternatives of alternatives, each level naming the next one twice.
fn nested() -> Value {
    let level = |inner: Value, _| json!({"anyOf": [inner.clone(), {"not": inner}]});
    let some = (0..DEPTH.min(10)).fold(json!({"type": "string"}), level);
    (0..DEPTH).fold(
        some,
        |inner, _| json!({"anyOf": [inner, {"type": "string"}]}),
    )
}

/// Tools by name, with the schema of their argument `text`.
fn tools() -> Vec<(&'static str, Value)> {
    let cycle = json!({"$ref": "#/properties/text", "allOf": [{"$ref": "#/properties/text"}, {"$ref": "#"}]});
    let names: Vec<String> = (0..2_000).map(|number| format!("value-{number}")).collect();
    vec![
        (PLAIN, json!({"type": "string"})),
        (
            "backtracking",
            json!({"type": "string", "pattern": "^(a+)+$"}),
        ),
        (
            "repeated",
            json!({"type": "string", "pattern": "((a{1,1000}){1,1000}){1,1000}"}),
        ),
        ("nested", nested()),
        ("cycle", cycle),
        ("wide", json!({"enum": names})),
    ]
}

async fn answer(message: Value) -> ScriptedAnswer {
    ScriptedAnswer::Result(match method(&message) {
        "server/discover" => return discovered(&json!({"tools": {}})),
        "tools/list" => {
            let tool = |(name, text): (&str, Value)| {
                let schema = json!({"type": "object", "properties": {"text": text}});
                json!({"name": name, "inputSchema": schema})
            };
            json!({"tools": tools().into_iter().map(tool).collect::<Vec<_>>()})
        }
        "tools/call" => json!({"content": [{"type": "text", "text": "called"}]}),
        _ => return ScriptedAnswer::Accepted,
    })
}

/// Processor time of one call with an argument on which a pattern would backtrack.
async fn call_cost(up: &mut ToolgateUp, agent: &Agent, tool: &str) -> Result<Duration> {
    let arguments = json!({"text": "a".repeat(2_000) + "!"});
    let before = up.process().cpu_time()?;
    for _ in 0..CALLS {
        agent
            .call(tool, arguments.clone())
            .await
            .context(tool.to_owned())?;
    }
    Ok(up.process().cpu_time()?.saturating_sub(before) / CALLS)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_tools_with_costly_schemas_cost_what_other_calls_do() {
    let sandbox = Sandbox::new("schemas").unwrap();
    let server = ScriptedServer::start(answer).await.unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    let listed = agent.tools().await.unwrap();
    println!("listed: {listed:?}");
    assert!(listed.len() >= 4, "{listed:?}");
    call_cost(&mut up, &agent, PLAIN).await.unwrap();
    let plain = call_cost(&mut up, &agent, PLAIN).await.unwrap();
    for tool in listed.iter().filter(|tool| *tool != PLAIN) {
        let cost = call_cost(&mut up, &agent, tool).await.unwrap();
        let ratio = cost.as_secs_f64() / plain.as_secs_f64();
        println!(
            "{tool}: {cost:?} of processor time for a call, {plain:?} for a plain one ({ratio:.2})"
        );
        assert!(ratio <= MAX_RATIO, "{tool}: {ratio:.2}");
        assert!(!is_drill() || cost <= MAX_TIME, "{tool}: {cost:?}");
    }
    let before = up.process().cpu_time().unwrap();
    for _ in 0..CALLS {
        agent.tools().await.unwrap();
    }
    let cost = up.process().cpu_time().unwrap().saturating_sub(before) / CALLS;
    println!("{cost:?} of processor time for a list");
    assert!(!is_drill() || cost <= MAX_TIME, "{cost:?}");
}
