//! Several servers behind one gateway, aggregated into one list.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::paged_server::PagedServer;
use toolgate_tests::toolgate::start_deployment;

const SERVERS: [(&str, usize); 3] = [("one", 67), ("two", 67), ("three", 66)];

/// Lists all two hundred tools, in a stable order and under unique names that lead to their own server.
async fn lists_all(agent: &Agent) -> Result<Vec<String>> {
    let names = agent.tools().await?;
    ensure!(names.len() == 200, "{} tools", names.len());
    let apart: BTreeSet<&String> = names.iter().collect();
    ensure!(apart.len() == 200, "{} names", apart.len());
    Ok(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_paged_tools_of_three_servers_are_aggregated_into_one_list() {
    let (_sandbox, up, cli) = start_deployment("aggregation").await.unwrap();
    let mut running = Vec::new();
    let mut create = vec!["gateway", "create", "all"];
    for (name, tools) in SERVERS {
        let server = PagedServer::start(name, tools).await.unwrap();
        cli.run(&["server", "add", name, "--url", &server.url()])
            .await
            .unwrap();
        create.extend(["--server", name]);
        running.push(server);
    }
    cli.run(&create).await.unwrap();
    let token = cli.token("everybody", &["--gateway", "all"]).await.unwrap();
    let modern = Agent::modern(&up.url("all"), &token);
    let listed = eventually("all are listed", HANG_GUARD, || lists_all(&modern))
        .await
        .unwrap();
    let legacy = Agent::legacy(&up.url("all"), &token).await.unwrap();
    assert_eq!(lists_all(&legacy).await.unwrap(), listed);
    for agent in [&modern, &legacy] {
        for (name, tools) in SERVERS {
            // First and last listed tool.
            for tool in ["t0".to_owned(), format!("t{}", tools - 1)] {
                let result = agent
                    .call(&format!("{name}__{tool}"), json!({}))
                    .await
                    .unwrap();
                let text = format!("{tool} of {name}");
                assert_eq!(result["content"][0]["text"], text.as_str(), "{result}");
            }
        }
    }
}
