//! Tests of descriptions for people.

use serde_json::{Value, json};

use super::description;
use crate::cli::client::kind::{GATEWAY, SERVER};

#[test]
fn a_gateway_of_four_hundred_tools_is_described_on_one_screen() {
    let tools: Vec<Value> = (0..400)
        .map(|index| {
            json!({
                "name": format!("git__search_{index}"), "server": "git",
                "originalName": format!("search_{index}"), "digest": "0123456789abcdef".repeat(4),
            })
        })
        .collect();
    let gateway = json!({
        "metadata": { "name": "organizations/default/gateways/tools", "labels": { "team": "ops" } },
        "spec": { "bindings": [{ "server": "git", "allTools": true }] },
        "status": { "path": "/v1/mcp/tools", "tools": tools },
    });
    let text = description(&GATEWAY, &gateway).unwrap();
    assert!(text.lines().count() < 45, "{}", text.lines().count());
    assert!(text.lines().all(|line| line.chars().count() <= 120));
    for shown in [
        "tools: 400",
        "git__search_0 ",
        "more, which `-o yaml` shows",
        "labels: team=ops",
        "/v1/mcp/tools",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("digest"), "{text}");
    let server = json!({
        "metadata": { "name": "organizations/default/servers/git" }, "status": { "seen": true },
    });
    let text = description(&SERVER, &server).unwrap();
    assert!(
        text.contains("seen: true") && !text.contains("tools"),
        "{text}"
    );
}
