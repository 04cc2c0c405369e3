//! Tests of tasks: a call becomes a task, and requests about it are sent to its server under the server's own id.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::headers::{ReceivedHeader, StandardHeaders};
use toolgate_model::{AllowList, Era, Snapshot, SnapshotResource};

use super::{UPSTREAM_ID, json, requests::towards};
use crate::{
    Grant, Plan, Refusal,
    client_state::{StateContext, task::TaskId},
    fixture::{GatewayFixture, META, gateway, insert, parse, test_servers, test_snapshot},
    plan::SessionLookup,
    rewrite::{
        CallOutcome, MAX_TASK_NOTIFICATION, RelayAction, ResponseRelay, bounded_task_params,
        request, task_notification_params,
    },
};

const TASKS: &str =
    r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}"#;

/// Snapshot in which both servers declare the tasks extension. The declaration of the legacy server has no effect.
fn snapshot() -> Snapshot {
    let mut offers = test_servers();
    for offer in &mut offers {
        offer.capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    }
    test_snapshot(&offers)
}

fn body(method: &str, members: &str, capabilities: &str) -> String {
    let meta = META.replace("{}", capabilities);
    format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"{method}","params":{{{members},"_meta":{{{meta}}}}}}}"#
    )
}

fn call(world: &GatewayFixture, token: &str, body: &str) -> std::sync::Arc<crate::plan::CallPlan> {
    let Plan::Call(call) = world.modern(token, body, &[]) else {
        panic!("no call");
    };
    call
}

fn answered(relay: &mut ResponseRelay, message: &Value) -> (Value, CallOutcome) {
    let RelayAction::Final(reply) = relay.on(&Bytes::from(message.to_string())) else {
        panic!("no answer");
    };
    (json(&reply.body.to_bytes()), reply.outcome)
}

/// Exposed id of a task with the server's id `t-1`.
fn started(world: &GatewayFixture, token: &str) -> String {
    started_with(world, token, r#""name":"weather__forecast""#)
}

/// Exposed id of the task of a call with these params.
fn started_with(world: &GatewayFixture, token: &str, params: &str) -> String {
    let body = body("tools/call", params, TASKS);
    let call = call(world, token, &body);
    let mut relay = ResponseRelay::new(call, Era::Modern, UPSTREAM_ID, None);
    let (told, outcome) = answered(
        &mut relay,
        &json!({"jsonrpc": "2.0", "id": UPSTREAM_ID, "result": {
            "resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": null,
        }}),
    );
    assert_eq!(outcome, CallOutcome::Done);
    let result = &told["result"];
    assert_eq!(
        (&result["resultType"], &result["status"]),
        (&json!("task"), &json!("working"))
    );
    result["taskId"].as_str().unwrap().to_owned()
}

fn refused(plan: Plan) -> Refusal {
    let Plan::Refuse(refusal) = plan else {
        panic!("{plan:?}");
    };
    refusal
}

#[test]
fn a_task_is_exposed_under_a_gateway_id() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    assert_eq!(id, started(&world, "all"));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let body = body(method, &format!(r#""taskId":"{id}""#), TASKS);
        let call = call(&world, "all", &body);
        let sent = request(&Bytes::from(body), &call, &towards(Era::Modern)).unwrap();
        assert_eq!(json(&sent.body)["params"]["taskId"], "t-1");
        let declared =
            &json(&sent.body)["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        assert_eq!(
            *declared,
            json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
        );
        let header = |name: &str| sent.headers.iter().find(|(key, _)| key == name);
        assert_eq!(header("mcp-name").unwrap().1, "t-1");
        assert_eq!(header("mcp-method").unwrap().1, method);
    }
}

#[test]
fn a_task_started_by_run_tool_belongs_to_the_tool() {
    let mut snapshot = snapshot();
    let mut progressive = crate::fixture::gateway(&test_servers());
    progressive.listing = toolgate_model::ToolListing::Progressive;
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(progressive),
    );
    let world = GatewayFixture::of(&snapshot);
    let running = r#""name":"run_tool","arguments":{"name":"weather__forecast"}"#;
    for token in ["all", "few"] {
        let id = started_with(&world, token, running);
        assert_eq!(
            id,
            started(&world, token),
            "of the same task it is the same"
        );
        let body = body("tasks/get", &format!(r#""taskId":"{id}""#), TASKS);
        assert_eq!(
            call(&world, token, &body).target.exposed_name(),
            Some("weather__forecast")
        );
    }
}

#[test]
fn task_notifications_use_the_task_id_of_the_client() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let body = body("tasks/get", &format!(r#""taskId":"{id}""#), TASKS);
    let get = || ResponseRelay::new(call(&world, "all", &body), Era::Modern, UPSTREAM_ID, None);
    let message = |more: Value| {
        let mut result = json!({"resultType": "complete", "taskId": "t-1", "status": "x"});
        let more = more.as_object().unwrap().clone();
        result.as_object_mut().unwrap().extend(more);
        json!({"jsonrpc": "2.0", "id": UPSTREAM_ID, "result": result})
    };
    let done = message(json!({"result": {
        "content": [{"type": "resource_link", "uri": "memo:today", "name": "n"}],
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "spy"}, "kept": 1},
    }}));
    let (told, _) = answered(&mut get(), &done);
    let result = &told["result"];
    assert_eq!(result["taskId"], json!(id));
    assert_eq!(result["result"]["content"][0]["uri"], "weather+memo:today");
    assert_eq!(result["result"]["_meta"], json!({"kept": 1}));
    let form = json!({"method": "elicitation/create", "params": {"mode": "form", "message": "Sure?",
        "requestedSchema": {"type": "object", "properties": {}}}});
    let wanted = message(json!({"inputRequests": {"confirm": form}, "requestState": "s"}));
    let (told, _) = answered(&mut get(), &wanted);
    let asked = &told["result"]["inputRequests"]["confirm"]["params"]["message"];
    assert!(asked.as_str().unwrap().contains("weather"), "{asked}");
    assert_eq!(told["result"].get("requestState"), None);
    let sampling = json!({"method": "sampling/createMessage", "params": {}});
    let undeclared = message(json!({"inputRequests": {"k": sampling}}));
    let (told, outcome) = answered(&mut get(), &undeclared);
    assert!(matches!(outcome, CallOutcome::Failed(_)));
    assert_eq!(told["error"]["code"], -32603);
}

#[test]
fn clients_without_the_tasks_capability_get_no_task() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let get = body("tasks/get", &format!(r#""taskId":"{id}""#), "{}");
    let refusal = refused(world.modern("all", &get, &[]));
    assert_eq!((refusal.status(), refusal.rpc().code), (400, -32021));
    let data = refusal.rpc().data.unwrap();
    let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    assert_eq!(data["requiredCapabilities"], needed);
    let plain = body("tools/call", r#""name":"weather__forecast""#, "{}");
    let mut relay = ResponseRelay::new(call(&world, "all", &plain), Era::Modern, UPSTREAM_ID, None);
    let task = json!({"jsonrpc": "2.0", "id": UPSTREAM_ID, "result": {"resultType": "task", "taskId": "t"}});
    assert!(matches!(
        answered(&mut relay, &task).1,
        CallOutcome::Failed(_)
    ));
    // A declaration by a legacy server has no effect.
    let legacy = body("tools/call", r#""name":"files__read""#, TASKS);
    assert!(call(&world, "all", &legacy).task_cipher.is_none());
    assert!(matches!(
        refused(world.legacy(
            "all",
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}"#
        )),
        Refusal::MethodNotFound { .. }
    ));
}

#[test]
fn foreign_forged_and_revoked_task_ids_are_unknown() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let get = |id: &str| body("tasks/get", &format!(r#""taskId":"{id}""#), TASKS);
    // A token of the same principal that may call this tool.
    assert!(matches!(world.modern("few", &get(&id), &[]), Plan::Call(_)));
    let mut forged = id.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    for id in ["t-1", "", &forged] {
        let refusal = refused(world.modern("all", &get(id), &[]));
        assert_eq!((refusal.status(), refusal.rpc().code), (200, -32602));
    }
    let mut gone = test_servers();
    gone.remove(0);
    gone[0].era = Some(Era::Modern);
    gone[0].capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let gone = GatewayFixture::of(&{
        let mut snapshot = crate::fixture::test_snapshot(&gone);
        snapshot.version.revision += 1;
        snapshot
    });
    let refusal = refused(gone.modern("all", &get(&id), &[]));
    assert_eq!(refusal.rpc().code, -32602);
}

#[test]
fn the_header_names_the_task() {
    let world = GatewayFixture::of(&snapshot());
    let get = body("tasks/get", r#""taskId":"t-1""#, TASKS);
    for name in [ReceivedHeader::Absent, ReceivedHeader::Once(b"t-2")] {
        let headers = StandardHeaders {
            version: ReceivedHeader::Once(b"2026-07-28"),
            method: ReceivedHeader::Once(b"tasks/get"),
            name,
        };
        let plan = world.post("all", &parse(&get), headers, &[], SessionLookup::Absent);
        assert_eq!(refused(plan).rpc().code, -32020);
    }
}

#[test]
fn tasks_are_declared_if_a_modern_server_supports_them() {
    let discover = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{"_meta":{{{META}}}}}}}"#
    );
    let told = |world: &GatewayFixture| {
        let Plan::Respond(parts) = world.modern("all", &discover, &[]) else {
            panic!("no answer");
        };
        json(&parts.to_bytes())["result"]["capabilities"].clone()
    };
    // The MCP Apps extension, which servers need not declare.
    let pages = json!({"io.modelcontextprotocol/ui": {}});
    assert_eq!(told(&GatewayFixture::new())["extensions"], pages);
    let with = GatewayFixture::of(&snapshot());
    let offered = json!({"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}});
    assert_eq!(told(&with)["extensions"], offered);
    let legacy = with.gateway().initialize("2025-11-25");
    assert_eq!(json(&legacy)["capabilities"]["extensions"], pages);
    let get = body("tasks/get", r#""taskId":"t""#, TASKS);
    assert_eq!(
        refused(GatewayFixture::new().modern("all", &get, &[])).status(),
        404
    );
}

/// Tasks of these ids that a client with this token and these capabilities may subscribe to.
fn followed(
    world: &GatewayFixture,
    token: &str,
    ids: &[&str],
    capabilities: &str,
) -> Vec<std::sync::Arc<crate::plan::CallPlan>> {
    let filter = json!({"taskIds": ids}).to_string();
    let listen = body(
        "subscriptions/listen",
        &format!(r#""notifications":{filter}"#),
        capabilities,
    );
    let Plan::Listen(listen) = world.modern(token, &listen, &[]) else {
        panic!("no stream");
    };
    listen.tasks
}

#[test]
fn a_client_subscribes_only_to_its_own_tasks_and_needs_the_capability() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let mine = followed(&world, "all", &[&id, "forged"], TASKS);
    let [one] = &mine[..] else {
        panic!("{mine:?}");
    };
    let task = one.target.task().unwrap();
    assert_eq!((&*task.exposed, &*task.original), (&*id, "t-1"));
    assert!(followed(&world, "all", &[&id], "{}").is_empty());
    // Another token of the same principal that may call the tool.
    assert_eq!(followed(&world, "few", &[&id], TASKS).len(), 1);
}

#[test]
fn a_task_notification_matches_the_result_of_tasks_get() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let call = followed(&world, "all", &[&id], TASKS).remove(0);
    let told = |params: Value| task_notification_params(&call, params.to_string().as_bytes());
    let news = told(json!({"taskId": "t-1", "status": "completed",
        "_meta": {"io.modelcontextprotocol/subscriptionId": 7},
        "result": {"content": [{"type": "resource_link", "uri": "memo:x", "name": "x"}]}}));
    let news = json(&news.unwrap());
    assert_eq!(news["taskId"], id);
    assert_eq!(news["result"]["content"][0]["uri"], "weather+memo:x");
    for ours in ["resultType", "_meta"] {
        assert_eq!(news.get(ours), None, "{news}");
    }
    // Input requests name the server, and input that the client did not declare is not requested.
    let asks = |method: &str| {
        told(
            json!({"taskId": "t-1", "status": "input_required", "inputRequests": {
            "k": {"method": method, "params": {"message": "Go on?", "requestedSchema": {}}}}}),
        )
    };
    let asked = json(&asks("elicitation/create").unwrap());
    assert_eq!(
        asked["inputRequests"]["k"]["params"]["message"],
        "[weather] Go on?"
    );
    assert_eq!(asks("sampling/createMessage"), None);
    // A result that is too large for a notification is available with `tasks/get`.
    let large = json!({"content": [{"type": "text", "text": "x".repeat(MAX_TASK_NOTIFICATION)}]});
    let short = told(json!({"taskId": "t-1", "status": "completed", "result": large}));
    let short = json(&short.unwrap());
    assert_eq!(short, json!({"taskId": id, "status": "completed"}));
}

#[test]
fn a_stored_task_notification_is_bounded() {
    let exact = format!(
        r#"{{"taskId":"{}"}}"#,
        "x".repeat(MAX_TASK_NOTIFICATION - 13)
    );
    assert_eq!(bounded_task_params(exact.as_bytes()).unwrap(), exact);
    let large = json!({"taskId": "t-1", "status": "failed", "error": "x".repeat(MAX_TASK_NOTIFICATION),
        "inputRequests": "x".repeat(MAX_TASK_NOTIFICATION), "result": "x".repeat(MAX_TASK_NOTIFICATION)});
    let short = json(&bounded_task_params(large.to_string().as_bytes()).unwrap());
    assert_eq!(short, json!({"taskId": "t-1", "status": "failed"}));
    let message = json!({"taskId": "t-1", "statusMessage": "x".repeat(MAX_TASK_NOTIFICATION)});
    assert_eq!(bounded_task_params(message.to_string().as_bytes()), None);
}

#[test]
fn a_task_is_read_and_followed_with_access_to_its_tool_only() {
    let world = GatewayFixture::of(&snapshot());
    let (gateway, caller) = ("main".parse().unwrap(), world.caller("all"));
    let context = StateContext {
        gateway: &gateway,
        principal: caller.principal(),
    };
    let encrypted = |server: &str, tool: &str| {
        let id = TaskId {
            server: server.parse().unwrap(),
            tool: tool.into(),
            original: "t-1".into(),
        };
        id.encrypt(&world.cipher, context).unwrap()
    };
    let get = |id: &str| body("tasks/get", &format!(r#""taskId":"{id}""#), TASKS);
    let mine = encrypted("weather", "weather__now");
    assert_eq!(
        mine,
        started_with(&world, "all", r#""name":"weather__now""#)
    );
    assert_eq!(followed(&world, "all", &[&mine], TASKS).len(), 1);
    for (token, id) in [
        // A token of the same principal that may not call the tool.
        ("few", mine),
        // The tool of this name belongs to another server by now.
        ("all", encrypted("files", "weather__now")),
        // The server does not support tasks, or no longer.
        ("all", encrypted("files", "files__read")),
    ] {
        let refusal = refused(world.modern(token, &get(&id), &[]));
        assert_eq!((refusal.status(), refusal.rpc().code), (200, -32602));
        assert!(followed(&world, token, &[&id], TASKS).is_empty());
    }
}

/// Gateway at which the forecast tool has become a tool of the other server, which supports tasks too.
fn reassigned() -> GatewayFixture {
    let mut offers = test_servers();
    for offer in &mut offers {
        offer.era = Some(Era::Modern);
        offer.capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    }
    let mut snapshot = test_snapshot(&offers);
    let mut resource = gateway(&offers);
    let tools = &mut resource.tools;
    tools.retain(|tool| tool.exposed != "weather__forecast");
    let read = tools.iter_mut().find(|tool| tool.exposed == "files__read");
    read.unwrap().exposed = "weather__forecast".to_owned();
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(resource),
    );
    GatewayFixture::of(&snapshot)
}

#[test]
fn a_followed_task_stays_in_newer_views_with_its_tool_and_its_server() {
    let world = GatewayFixture::of(&snapshot());
    let id = started(&world, "all");
    let call = followed(&world, "all", &[&id], TASKS).remove(0);
    let caller = world.caller("all");
    let at = |world: &GatewayFixture, grant: &Grant| call.at_gateway(world.gateway(), grant);
    let same = at(&world, caller.grant()).unwrap();
    assert!(Arc::ptr_eq(&same, &call));
    let newer = GatewayFixture::of(&snapshot());
    let moved = at(&newer, caller.grant()).unwrap();
    let tool = newer.gateway().tool("weather__forecast").unwrap();
    assert!(Arc::ptr_eq(&moved.gateway, newer.gateway()));
    assert!(Arc::ptr_eq(&moved.target.task().unwrap().tool, tool));
    let other = AllowList::Only(vec!["weather__now".to_owned()]);
    let other = Grant::new(&AllowList::All, &other);
    assert!(at(&newer, &other).is_none());
    assert!(at(&reassigned(), caller.grant()).is_none());
    // A view in which no server supports tasks.
    assert!(at(&GatewayFixture::new(), caller.grant()).is_none());
}
