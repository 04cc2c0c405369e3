//! MCP Apps (`io.modelcontextprotocol/ui`): UI resources are declared, listed, called and read in every era pair, with
//! and without URI prefixes.

use http::Response;
use serde_json::{Value, json};
use toolgate_model::{
    Era, ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind, UriMode,
    snapshot::{DefinitionsResource, ExposedTool, GatewayResource, SnapshotEntry},
};

use crate::{
    client::TestClient,
    prompts_and_resources::definition,
    rig::{TOKEN, TestRig, name, slug},
    server::{FakeResponseBody, answer},
};

const PAGE: &str = "ui://board/main";
const EXTENSION: &str = "io.modelcontextprotocol/ui";

/// Result of the tool call at the server.
pub fn app_result(message: &Value) -> Response<FakeResponseBody> {
    let link = json!({"type": "resource_link", "uri": PAGE, "name": "board"});
    let meta = json!({"ui": {"resourceUri": PAGE}});
    answer(message, &json!({"content": [link], "_meta": meta}))
}

/// Result of `resources/read` for a page at the server.
pub fn app_page(message: &Value, uri: &str) -> Response<FakeResponseBody> {
    let contents = json!([{"uri": uri, "mimeType": "text/html;profile=mcp-app", "text": "<p>"}]);
    answer(message, &json!({"contents": contents}))
}

fn put(snapshot: &mut Snapshot, kind: SnapshotResourceKind, id: &str, resource: SnapshotResource) {
    let key = ResourceKey {
        kind,
        name: name(id),
    };
    snapshot.entries.insert(key, SnapshotEntry::new(resource));
}

/// Gives each server a tool with a page, and adds one gateway for each server and URI mode.
fn configure(rig: &TestRig, capabilities: &Value) {
    let tool = definition(
        "app",
        &json!({"name": "app", "inputSchema": {"type": "object"}, "_meta": {"ui": {"resourceUri": PAGE}}}),
    );
    let listed = definition(PAGE, &json!({"uri": PAGE, "name": "board"}));
    rig.source.configure(|snapshot| {
        for server in ["old", "new"] {
            let offered = DefinitionsResource {
                tools: vec![tool.clone()],
                resources: vec![listed.clone()],
                capabilities: capabilities.to_string(),
                ..DefinitionsResource::default()
            };
            put(
                snapshot,
                SnapshotResourceKind::Catalogue,
                server,
                SnapshotResource::Catalogue(offered),
            );
            for (uris, way) in [
                (UriMode::Prefixed, "prefixed"),
                (UriMode::Through, "through"),
            ] {
                let exposed = ExposedTool {
                    exposed: "app".to_owned(),
                    server: slug(server),
                    original: "app".to_owned(),
                    digest: tool.digest,
                    shape: None,
                };
                let gateway = GatewayResource {
                    tools: vec![exposed],
                    servers: vec![slug(server)],
                    resources: vec![slug(server)],
                    uris,
                    ..GatewayResource::default()
                };
                let id = format!("{server}-{way}");
                put(
                    snapshot,
                    SnapshotResourceKind::Gateway,
                    &id,
                    SnapshotResource::Gateway(gateway),
                );
            }
        }
    });
}

fn ui_capabilities() -> Value {
    json!({"extensions": {
        EXTENSION: {"mimeTypes": ["text/html;profile=mcp-app", "x/y"], "own": 1},
        "com.example/other": {"a": 1},
    }})
}

async fn ask(client: &TestClient, era: Era, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    client.ask(era, message).await.whole().await.json()["result"].clone()
}

/// Returns a client of `era` and the capabilities that the gateway declares to it.
async fn client(
    rig: &TestRig,
    gateway: &str,
    era: Era,
    capabilities: Value,
) -> (TestClient, Value) {
    let mut client = rig.client_with(gateway, TOKEN);
    client.capabilities = capabilities;
    let told = match era {
        Era::Legacy => client.initialize().await["result"]["capabilities"].clone(),
        Era::Modern => {
            ask(&client, era, "server/discover", json!({})).await["capabilities"].clone()
        }
    };
    (client, told)
}

/// Client capabilities that were declared to the server, extensions only.
fn declared_extensions(rig: &TestRig, server: &str) -> Value {
    match server {
        "old" => {
            let (_, message) = rig.legacy.last("initialize").unwrap();
            message["params"]["capabilities"]["extensions"].clone()
        }
        _ => {
            let (_, message) = rig.modern.last("tools/call").unwrap();
            let meta = &message["params"]["_meta"];
            meta["io.modelcontextprotocol/clientCapabilities"]["extensions"].clone()
        }
    }
}

#[tokio::test]
async fn an_app_page_is_listed_called_and_read_in_every_era_pair_with_and_without_prefix() {
    let rig = TestRig::start().await;
    configure(&rig, &json!({"tools": {}, "resources": {}}));
    for (server, era) in [
        ("old", Era::Legacy),
        ("old", Era::Modern),
        ("new", Era::Legacy),
        ("new", Era::Modern),
    ] {
        for way in ["prefixed", "through"] {
            let gateway = format!("{server}-{way}");
            let shown = match way {
                "prefixed" => format!("ui://{server}/board/main"),
                _ => PAGE.to_owned(),
            };
            let (client, told) = client(&rig, &gateway, era, ui_capabilities()).await;
            assert_eq!(
                told["extensions"],
                json!({EXTENSION: {}}),
                "{gateway}: {told}"
            );
            let tools = ask(&client, era, "tools/list", json!({})).await;
            assert_eq!(
                tools["tools"][0]["_meta"]["ui"]["resourceUri"], shown,
                "{gateway}"
            );
            let resources = ask(&client, era, "resources/list", json!({})).await;
            assert_eq!(resources["resources"][0]["uri"], shown, "{gateway}");
            let done = ask(
                &client,
                era,
                "tools/call",
                json!({"name": "app", "arguments": {}}),
            )
            .await;
            assert_eq!(
                done["_meta"]["ui"]["resourceUri"], shown,
                "{gateway}: {done}"
            );
            assert_eq!(done["content"][0]["uri"], shown, "{gateway}: {done}");
            let read = ask(&client, era, "resources/read", json!({"uri": shown})).await;
            assert_eq!(read["contents"][0]["uri"], shown, "{gateway}: {read}");
            assert_eq!(read["contents"][0]["text"], "<p>", "{gateway}: {read}");
            // Between modern peers the settings pass unchanged; otherwise only the stored MIME type is declared.
            let settings = match (server, era) {
                ("new", Era::Modern) => ui_capabilities()["extensions"][EXTENSION].clone(),
                (_, _) => json!({"mimeTypes": ["text/html;profile=mcp-app"]}),
            };
            assert_eq!(
                declared_extensions(&rig, server),
                json!({EXTENSION: settings}),
                "{gateway}"
            );
        }
    }
    // Other capabilities of hosts open no further upstream sessions: one serves all hosts that show pages.
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 1);
}

#[tokio::test]
async fn the_apps_extension_is_declared_only_between_capable_clients_and_servers() {
    let rig = TestRig::start().await;
    configure(&rig, &json!({"tools": {}}));
    let nothing = [
        json!({}),
        json!({"extensions": {EXTENSION: {"mimeTypes": ["x/y"]}}}),
    ];
    for (server, era) in [
        ("old", Era::Legacy),
        ("old", Era::Modern),
        ("new", Era::Legacy),
        ("new", Era::Modern),
    ] {
        for capabilities in &nothing {
            let (client, _) = client(
                &rig,
                &format!("{server}-through"),
                era,
                capabilities.clone(),
            )
            .await;
            ask(
                &client,
                era,
                "tools/call",
                json!({"name": "app", "arguments": {}}),
            )
            .await;
            assert_eq!(
                declared_extensions(&rig, server),
                Value::Null,
                "{server} {era:?}"
            );
        }
    }
    let plain = TestRig::start().await;
    let (client, told) = self::client(&plain, "everything", Era::Modern, ui_capabilities()).await;
    assert_eq!(told.get("extensions"), None, "{told}");
    ask(
        &client,
        Era::Modern,
        "tools/call",
        json!({"name": "new__echo", "arguments": {"text": "x"}}),
    )
    .await;
    assert_eq!(declared_extensions(&plain, "new"), Value::Null);
}
