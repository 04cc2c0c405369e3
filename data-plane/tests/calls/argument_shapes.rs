//! Argument shapes of tools in every era pair, and call timeouts of a binding.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolgate_model::{
    CallTimeouts, Era, ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind,
    snapshot::{GatewayResource, SnapshotEntry, ToolShape},
};

use crate::{
    client::TestClient,
    rig::{HANG_GUARD, TestRig, exposed, name, slug, within},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn edit(snapshot: &mut Snapshot, change: impl FnOnce(&mut GatewayResource)) {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: name("everything"),
    };
    let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    change(&mut gateway);
    let entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
    snapshot.entries.insert(key, entry);
}

/// Renames `echo` of both servers and fixes its argument.
fn shape_echo(gateway: &mut GatewayResource) {
    gateway.must_understand = vec!["shaped_arguments".to_owned()];
    for tool in &mut gateway.tools {
        if tool.original == "echo" {
            tool.exposed = format!("greet_{}", tool.server);
            tool.shape = Some(ToolShape {
                description: Some("Greets.".to_owned()),
                fixed: [("text".to_owned(), "\"hello\"".to_owned())].into(),
                hidden: vec!["secret".to_owned()],
            });
        }
    }
}

fn greeting(server: Era) -> &'static str {
    match server {
        Era::Legacy => "greet_old",
        Era::Modern => "greet_new",
    }
}

async fn call(client: &TestClient, era: Era, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    client.ask(era, message).await.whole().await.json()
}

#[tokio::test]
async fn shaped_tools_are_listed_and_called_as_configured_in_every_era_pair() {
    let rig = TestRig::start().await;
    rig.source.configure(|snapshot| edit(snapshot, shape_echo));
    for client_era in ERAS {
        let mut client = rig.client();
        if client_era == Era::Legacy {
            client.initialize().await;
        }
        let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
        let list = client.ask(client_era, list).await.whole().await.json();
        let tools = list["result"]["tools"].as_array().unwrap();
        for server_era in ERAS {
            let tool = tools.iter().find(|it| it["name"] == greeting(server_era));
            let tool = tool.unwrap();
            assert_eq!(tool["description"], "Greets.");
            assert_eq!(tool["inputSchema"]["properties"], json!({}));
            let server = rig.server(server_era);
            let before = server.calls("echo");
            for (given, named) in [("text", "`text`"), ("secret", "`secret`")] {
                let refused = call(
                    &client,
                    client_era,
                    greeting(server_era),
                    json!({given: "x"}),
                );
                let refused = refused.await;
                assert_eq!(refused["error"]["code"], -32602, "{refused}");
                assert!(refused["error"].to_string().contains(named), "{refused}");
            }
            assert_eq!(server.calls("echo"), before, "nothing reaches the server");
            let answer = call(&client, client_era, greeting(server_era), json!({"n": 1})).await;
            assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
            let (_, asked) = server.last("tools/call").unwrap();
            let wanted = json!({"n": 1, "text": "hello"});
            assert_eq!(asked["params"]["arguments"], wanted);
            let old_name = exposed(server_era, "echo");
            let by_old_name = call(&client, client_era, &old_name, json!({})).await;
            assert_eq!(by_old_name["error"]["code"], -32602, "{by_old_name}");
        }
    }
}

#[tokio::test]
async fn the_binding_timeout_limits_the_call() {
    // Of the server's own times, which would end the call too, none ends while the test waits.
    let timeouts = CallTimeouts {
        first_byte: 10 * HANG_GUARD,
        idle: 10 * HANG_GUARD,
        total: 10 * HANG_GUARD,
        ..CallTimeouts::default()
    };
    let rig = TestRig::with(|_| {}, timeouts).await;
    rig.source.configure(|snapshot| {
        edit(snapshot, |gateway| {
            let most = Duration::from_millis(300);
            gateway.timeouts = [(slug("new"), most)].into();
        });
    });
    let started = Instant::now();
    let client = rig.client();
    let answer = call(&client, Era::Modern, "new__silent", json!({})).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(
        started.elapsed() < within(Duration::from_secs(5)),
        "{answer}"
    );
}
