//! Gateways that lead back to themselves: requests name the deployments that they have passed, so that a loop ends at the
//! deployment that it passes twice.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, start_deployment, text};

/// Creates a gateway of the server `demo` with a token. Returns the token.
async fn gateway_of_demo(cli: &CommandLine, name: &str) -> Result<String> {
    let create = ["gateway", "create", name, "--server", "demo"];
    cli.run(&create).await?;
    cli.token(&format!("{name}-token"), &["--gateway", name])
        .await
}

/// Adds the gateway `other` of `up` as a server, and offers all its tools in the gateway `own` of `demo`.
async fn bind(
    cli: &CommandLine,
    own: &str,
    up: &ToolgateUp,
    other: &str,
    token: &str,
) -> Result<()> {
    let (url, header) = (up.url(other), format!("Authorization=Bearer {token}"));
    let add = ["server", "add", other, "--url", &url, "--header", &header];
    cli.run(&add).await?;
    let document = format!(
        "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: {own}}}\nspec:\n  bindings:\n  \
         - {{server: demo, allTools: true}}\n  - {{server: {other}, allTools: true}}\n"
    );
    let apply = ["apply", "-f", "-"];
    let applied = cli.output_of_input(&apply, &document).await?;
    ensure!(applied.status.success(), "{}", text(&applied.stderr));
    Ok(())
}

/// Returns the first tool of the agent whose name begins and ends like this.
async fn tool(agent: &Agent, begin: &str, end: &str) -> Result<String> {
    let found = eventually("the tool is listed", HANG_GUARD, || async {
        let tools = agent.tools().await?;
        let mut named = tools.iter().filter(|name| name.starts_with(begin));
        let found = named.find(|name| name.ends_with(end)).cloned();
        found.with_context(|| format!("{tools:?}"))
    });
    found.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_binds_itself_is_named_as_a_problem_and_offers_nothing_twice() {
    let (_sandbox, up, cli) = start_deployment("gateway-loop").await.unwrap();
    let token = gateway_of_demo(&cli, "ring").await.unwrap();
    let agent = Agent::modern(&up.url("ring"), &token);
    tool(&agent, "demo__", "").await.unwrap();
    let before = agent.tools().await.unwrap();
    bind(&cli, "ring", &up, "ring", &token).await.unwrap();
    for _probe in 0..3 {
        let (_, told) = cli.fails(&["server", "probe", "ring"]).await.unwrap();
        assert!(told.contains("a gateway of this deployment"), "{told}");
        assert!(told.contains("`toolgate server delete ring`"), "{told}");
    }
    let described = cli.run(&["describe", "server", "ring"]).await.unwrap();
    let described = text(&described.stdout);
    assert!(
        described.contains("a gateway of this deployment"),
        "{described}"
    );
    let doctor = cli.output(&["doctor"]).await.unwrap();
    let doctor = text(&doctor.stdout) + &text(&doctor.stderr);
    assert!(doctor.contains("a gateway of this deployment"), "{doctor}");
    assert_eq!(agent.tools().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_between_two_deployments_that_bind_each_other_ends_where_it_came_from() {
    let (_first_sandbox, first, first_cli) = start_deployment("gateway-loop-1").await.unwrap();
    let (_second_sandbox, second, second_cli) = start_deployment("gateway-loop-2").await.unwrap();
    let first_token = gateway_of_demo(&first_cli, "one").await.unwrap();
    let second_token = gateway_of_demo(&second_cli, "two").await.unwrap();
    bind(&first_cli, "one", &second, "two", &second_token)
        .await
        .unwrap();
    let agent = Agent::modern(&first.url("one"), &first_token);
    let chained = tool(&agent, "two__demo__", "echo").await.unwrap();
    let called = agent.call(&chained, json!({"text": "through two"}));
    assert!(called.await.unwrap().to_string().contains("through two"));

    bind(&second_cli, "two", &first, "one", &first_token)
        .await
        .unwrap();
    let other = Agent::modern(&second.url("two"), &second_token);
    let looped = tool(&other, "one__two__demo__", "echo").await.unwrap();
    let refused = other.call(&looped, json!({"text": "x"})).await;
    let told = format!("{:#}", refused.unwrap_err());
    assert!(told.contains("loop detected"), "{told}");
    // Everything else goes on.
    let chained = tool(&other, "one__demo__", "echo").await.unwrap();
    for (agent, name) in [(&other, &*chained), (&agent, "demo__echo")] {
        let called = agent.call(name, json!({"text": "still"})).await.unwrap();
        assert_ne!(called["isError"], true, "{called}");
    }
}
