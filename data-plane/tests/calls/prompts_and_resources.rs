//! Prompts, resources and completion in every era pair: lists, server requests and results.

use http::Response;
use serde_json::{Value, json};
use toolgate_model::{
    Definition, Digest, Era,
    snapshot::{DefinitionsResource, ExposedPrompt, GatewayResource},
};

use crate::{
    client::{TestClient, TestResponse},
    rig::{NARROW_TOKEN, TestRig, slug},
    server::{FakeResponseBody, answer, plain},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

pub fn definition(name: &str, json: &Value) -> Definition {
    let json = json.to_string();
    Definition {
        name: name.to_owned(),
        digest: Digest::of_bytes(json.as_bytes()),
        json: json.into(),
    }
}

fn greet() -> Definition {
    definition(
        "greet",
        &json!({"name": "greet", "arguments": [{"name": "who"}]}),
    )
}

/// Definitions that every server offers in addition to its tools.
pub fn offered_definitions() -> DefinitionsResource {
    DefinitionsResource {
        prompts: vec![greet()],
        resources: vec![definition(
            "memo:today",
            &json!({"uri": "memo:today", "name": "t"}),
        )],
        templates: vec![definition(
            "test://{id}",
            &json!({"uriTemplate": "test://{id}", "name": "t"}),
        )],
        ..DefinitionsResource::default()
    }
}

/// Gateway that exposes these definitions.
pub fn exposing_gateway() -> GatewayResource {
    let servers = ["gone", "new", "old"];
    GatewayResource {
        prompts: servers
            .map(|server| ExposedPrompt {
                exposed: format!("{server}__greet"),
                server: slug(server),
                original: "greet".to_owned(),
                digest: greet().digest,
            })
            .to_vec(),
        resources: servers.map(slug).to_vec(),
        ..GatewayResource::default()
    }
}

/// Result of `prompts/get` at the server.
pub fn prompt(message: &Value) -> Response<FakeResponseBody> {
    let params = &message["params"];
    let link = json!({"type": "resource_link", "uri": "memo:today", "name": "t"});
    let text = json!({"type": "text", "text": format!("hello {}", params["arguments"]["who"])});
    let said = [link, text].map(|content| json!({"role": "user", "content": content}));
    answer(
        message,
        &json!({"messages": said, "description": params["name"]}),
    )
}

/// Result of `resources/read` at the server: `memo:today` and URIs of the template.
pub fn resource_result(era: Era, message: &Value) -> Response<FakeResponseBody> {
    let uri = message["params"]["uri"].as_str().unwrap();
    if let Some(scope) = uri.strip_prefix("test://scope-") {
        let contents = json!([{"uri": uri, "text": "of one user"}]);
        let kept = json!({"contents": contents, "ttlMs": 60_000, "cacheScope": scope});
        return answer(message, &kept);
    }
    if uri.starts_with("ui://") {
        return crate::apps::app_page(message, uri);
    }
    if uri == "memo:today" || uri.starts_with("test://") {
        let contents = json!([{"uri": uri, "text": "memo:today"}]);
        return answer(message, &json!({"contents": contents}));
    }
    let code = match era {
        Era::Legacy => -32002,
        Era::Modern => -32602,
    };
    error_response(
        200,
        message,
        &json!({"code": code, "message": "none", "data": {"uri": uri}}),
    )
}

/// Result of `completion/complete` at the server.
pub fn completion_result(message: &Value) -> Response<FakeResponseBody> {
    let reference = &message["params"]["ref"];
    let of = reference.get("name").or(reference.get("uri"));
    answer(
        message,
        &json!({"completion": {"values": [of], "total": 1}}),
    )
}

/// Error of a tool that requires sampling.
pub fn missing_sampling_error(message: &Value) -> Response<FakeResponseBody> {
    let data = json!({"requiredCapabilities": {"sampling": {}}});
    error_response(
        400,
        message,
        &json!({"code": -32021, "message": "no model", "data": data}),
    )
}

fn error_response(status: u16, message: &Value, error: &Value) -> Response<FakeResponseBody> {
    let frame = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
    plain(status, "application/json", &frame.to_string())
}

async fn client(rig: &TestRig, era: Era) -> TestClient {
    let mut client = rig.client();
    if era == Era::Legacy {
        client.initialize().await;
    }
    client
}

async fn ask(client: &TestClient, era: Era, method: &str, params: Value) -> TestResponse {
    let message = json!({"jsonrpc": "2.0", "id": "r", "method": method, "params": params});
    client.ask(era, message).await.whole().await
}

/// Ids and eras of the two reachable servers.
const SERVERS: [(&str, Era); 2] = [("old", Era::Legacy), ("new", Era::Modern)];

fn name_at_server(rig: &TestRig, era: Era, method: &str) -> (Option<String>, Value) {
    let (headers, message) = rig.server(era).last(method).unwrap();
    let name = headers.get("mcp-name");
    let name = name.map(|name| name.to_str().unwrap().to_owned());
    assert_eq!(headers.contains_key("mcp-method"), era == Era::Modern);
    (name, message["params"].clone())
}

#[tokio::test]
async fn lists_are_answered_without_a_server_request() {
    let rig = TestRig::start().await;
    for era in ERAS {
        let client = client(&rig, era).await;
        for (method, member, name, first) in [
            ("prompts/list", "prompts", "name", "gone__greet"),
            ("resources/list", "resources", "uri", "gone+memo:today"),
            (
                "resources/templates/list",
                "resourceTemplates",
                "uriTemplate",
                "gone+test://{id}",
            ),
        ] {
            let result = ask(&client, era, method, json!({})).await.json()["result"].clone();
            assert_eq!(result[member].as_array().unwrap().len(), 3, "{result}");
            assert_eq!(result[member][0][name], first);
            assert_eq!(result["cacheScope"] == "private", era == Era::Modern);
        }
    }
    assert!(rig.legacy.seen.lock().unwrap().requests.is_empty());
    assert!(rig.modern.seen.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn prompts_are_rendered_by_their_server() {
    let rig = TestRig::start().await;
    for client_era in ERAS {
        let client = client(&rig, client_era).await;
        for (server, era) in SERVERS {
            let params = json!({"name": format!("{server}__greet"), "arguments": {"who": "ada"}});
            let got = ask(&client, client_era, "prompts/get", params).await;
            assert_eq!(got.status, 200, "{got:?}");
            let got = got.json();
            assert_eq!(
                (&got["id"], &got["result"]["description"]),
                (&json!("r"), &json!("greet"))
            );
            let link = &got["result"]["messages"][0]["content"]["uri"];
            assert_eq!(link, &format!("{server}+memo:today"));
            let complete = got["result"].get("resultType") == Some(&json!("complete"));
            assert_eq!(complete, client_era == Era::Modern);
            let (name, params) = name_at_server(&rig, era, "prompts/get");
            assert_eq!(name.as_deref(), (era == Era::Modern).then_some("greet"));
            assert_eq!(
                (&params["name"], &params["arguments"]["who"]),
                (&json!("greet"), &json!("ada"))
            );
        }
    }
}

#[tokio::test]
async fn resources_are_read_from_their_server_under_listed_uris() {
    let rig = TestRig::start().await;
    for client_era in ERAS {
        let client = client(&rig, client_era).await;
        for (server, era) in SERVERS {
            for uri in ["memo:today", "test://7"] {
                let shown = format!("{server}+{uri}");
                let got = ask(&client, client_era, "resources/read", json!({"uri": shown})).await;
                let result = got.json()["result"].clone();
                assert_eq!(
                    result["contents"],
                    json!([{"uri": shown, "text": "memo:today"}])
                );
                let hints = (result.get("ttlMs"), result.get("cacheScope"));
                let (zero, private) = (json!(0), json!("private"));
                let modern = client_era == Era::Modern;
                let expected = (modern.then_some(&zero), modern.then_some(&private));
                assert_eq!(hints, expected);
                let (name, params) = name_at_server(&rig, era, "resources/read");
                assert_eq!(name.as_deref(), (era == Era::Modern).then_some(uri));
                assert_eq!(params["uri"], uri);
            }
            // One URI is rejected by the server, the others by the gateway, with the same response.
            let code = if client_era == Era::Modern {
                -32602
            } else {
                -32002
            };
            for uri in [
                &*format!("{server}+memo:none"),
                "lost+memo:today",
                "memo:today",
            ] {
                let got = ask(&client, client_era, "resources/read", json!({"uri": uri})).await;
                assert_eq!((got.status.as_u16(), got.code()), (200, code), "{got:?}");
                assert_eq!(got.json()["error"]["data"], json!({"uri": uri}));
            }
        }
    }
}

#[tokio::test]
async fn arguments_are_completed_by_their_server() {
    let rig = TestRig::start().await;
    for client_era in ERAS {
        let client = client(&rig, client_era).await;
        let complete = async |reference: Value| {
            let params = json!({"ref": reference, "argument": {"name": "who", "value": ""}});
            let got = ask(&client, client_era, "completion/complete", params).await;
            got.json()["result"]["completion"]["values"].clone()
        };
        for (server, era) in SERVERS {
            let prompt = json!({"type": "ref/prompt", "name": format!("{server}__greet")});
            assert_eq!(complete(prompt).await, json!(["greet"]));
            let template =
                json!({"type": "ref/resource", "uri": format!("{server}+test://{{id}}")});
            assert_eq!(complete(template).await, json!(["test://{id}"]));
            assert_eq!(name_at_server(&rig, era, "completion/complete").0, None);
        }
        // This server did not declare completion and is unreachable.
        let nobody = json!({"type": "ref/prompt", "name": "gone__greet"});
        assert_eq!(complete(nobody).await, json!([]));
    }
}

#[tokio::test]
async fn hidden_entries_are_unknown_and_failures_are_errors() {
    let rig = TestRig::start().await;
    let narrow = rig.client_with("everything", NARROW_TOKEN);
    let prompt = json!({"name": "new__greet"});
    let hidden = ask(&narrow, Era::Modern, "prompts/get", prompt).await;
    assert_eq!((hidden.status.as_u16(), hidden.code()), (200, -32602));
    let read = json!({"uri": "new+memo:today"});
    let hidden = ask(&narrow, Era::Modern, "resources/read", read).await;
    assert_eq!(
        hidden.json()["error"]["message"],
        "Resource not found: new+memo:today"
    );
    assert!(rig.modern.seen.lock().unwrap().requests.is_empty());
    for era in ERAS {
        let client = client(&rig, era).await;
        let read = json!({"uri": "gone+memo:today"});
        let failed = ask(&client, era, "resources/read", read).await;
        assert_eq!((failed.status.as_u16(), failed.code()), (200, -32603));
        let text = failed.json()["error"]["message"].clone();
        assert_eq!(text, "the server of this resource cannot be reached");
    }
}

#[tokio::test]
async fn a_missing_client_capability_is_reported_with_its_http_status() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let got = client.call(Era::Modern, json!(1), "new__capable", "").await;
    let got = got.whole().await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32021));
    let data = got.json()["error"]["data"].clone();
    assert_eq!(data, json!({"requiredCapabilities": {"sampling": {}}}));
}
