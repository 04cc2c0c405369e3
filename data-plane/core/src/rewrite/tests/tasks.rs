//! Tests of tasks: a call becomes a task, and requests about it are sent to its server under the server's own id.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::headers::{Seen, Standard};
use toolgate_model::{Era, Resource, Snapshot};

use super::{OWN, json, requests::towards};
use crate::{
    Plan, Refusal,
    fixture::{META, World, insert, offers, parse, world},
    plan::Presented,
    rewrite::{NOTICE, Outcome, Relay, Relayed, notice_of, request, task_news},
};

const TASKS: &str =
    r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}"#;

/// Snapshot in which both servers declare the tasks extension. The declaration of the legacy server has no effect.
fn snapshot() -> Snapshot {
    let mut offers = offers();
    for offer in &mut offers {
        offer.capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    }
    world(&offers)
}

fn body(method: &str, members: &str, capabilities: &str) -> String {
    let meta = META.replace("{}", capabilities);
    format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"{method}","params":{{{members},"_meta":{{{meta}}}}}}}"#
    )
}

fn call(world: &World, token: &str, body: &str) -> std::sync::Arc<crate::plan::CallPlan> {
    let Plan::Call(call) = world.modern(token, body, &[]) else {
        panic!("no call");
    };
    call
}

fn answered(relay: &mut Relay, message: &Value) -> (Value, Outcome) {
    let Relayed::Final(reply) = relay.on(&Bytes::from(message.to_string())) else {
        panic!("no answer");
    };
    (json(&reply.body.to_bytes()), reply.outcome)
}

/// Exposed id of a task with the server's id `t-1`.
fn started(world: &World, token: &str) -> String {
    started_with(world, token, r#""name":"weather__forecast""#)
}

/// Exposed id of the task of a call with these params.
fn started_with(world: &World, token: &str, params: &str) -> String {
    let body = body("tools/call", params, TASKS);
    let call = call(world, token, &body);
    let mut relay = Relay::new(call, Era::Modern, OWN, None);
    let (told, outcome) = answered(
        &mut relay,
        &json!({"jsonrpc": "2.0", "id": OWN, "result": {
            "resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": null,
        }}),
    );
    assert_eq!(outcome, Outcome::Done);
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
fn a_task_is_followed_under_an_id_of_ours() {
    let world = World::of(&snapshot());
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
fn a_task_of_a_tool_that_was_run_is_that_of_the_tool() {
    let mut snapshot = snapshot();
    let mut progressive = crate::fixture::gateway(&offers());
    progressive.listing = toolgate_model::Listing::Progressive;
    insert(
        &mut snapshot,
        "acme",
        "main",
        Resource::Gateway(progressive),
    );
    let world = World::of(&snapshot);
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
            call(&world, token, &body).target.exposed(),
            Some("weather__forecast")
        );
    }
}

#[test]
fn what_is_told_of_a_task_is_as_the_client_knows_it() {
    let world = World::of(&snapshot());
    let id = started(&world, "all");
    let body = body("tasks/get", &format!(r#""taskId":"{id}""#), TASKS);
    let get = || Relay::new(call(&world, "all", &body), Era::Modern, OWN, None);
    let message = |more: Value| {
        let mut result = json!({"resultType": "complete", "taskId": "t-1", "status": "x"});
        let more = more.as_object().unwrap().clone();
        result.as_object_mut().unwrap().extend(more);
        json!({"jsonrpc": "2.0", "id": OWN, "result": result})
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
    assert!(matches!(outcome, Outcome::Failed(_)));
    assert_eq!(told["error"]["code"], -32603);
}

#[test]
fn who_does_not_follow_tasks_gets_none() {
    let world = World::of(&snapshot());
    let id = started(&world, "all");
    let get = body("tasks/get", &format!(r#""taskId":"{id}""#), "{}");
    let refusal = refused(world.modern("all", &get, &[]));
    assert_eq!((refusal.status(), refusal.rpc().code), (400, -32021));
    let data = refusal.rpc().data.unwrap();
    let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    assert_eq!(data["requiredCapabilities"], needed);
    let plain = body("tools/call", r#""name":"weather__forecast""#, "{}");
    let mut relay = Relay::new(call(&world, "all", &plain), Era::Modern, OWN, None);
    let task =
        json!({"jsonrpc": "2.0", "id": OWN, "result": {"resultType": "task", "taskId": "t"}});
    assert!(matches!(answered(&mut relay, &task).1, Outcome::Failed(_)));
    // A declaration by a legacy server has no effect.
    let legacy = body("tools/call", r#""name":"files__read""#, TASKS);
    assert!(call(&world, "all", &legacy).tasks.is_none());
    assert!(matches!(
        refused(world.legacy(
            "all",
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}"#
        )),
        Refusal::MethodNotFound { .. }
    ));
}

#[test]
fn foreign_forged_and_withdrawn_tasks_are_unknown() {
    let world = World::of(&snapshot());
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
    let mut gone = offers();
    gone.remove(0);
    gone[0].era = Some(Era::Modern);
    gone[0].capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let gone = World::of(&{
        let mut snapshot = crate::fixture::world(&gone);
        snapshot.version.revision += 1;
        snapshot
    });
    let refusal = refused(gone.modern("all", &get(&id), &[]));
    assert_eq!(refusal.rpc().code, -32602);
}

#[test]
fn the_header_names_the_task() {
    let world = World::of(&snapshot());
    let get = body("tasks/get", r#""taskId":"t-1""#, TASKS);
    for name in [Seen::Absent, Seen::Once(b"t-2")] {
        let headers = Standard {
            version: Seen::Once(b"2026-07-28"),
            method: Seen::Once(b"tasks/get"),
            name,
        };
        let plan = world.post("all", &parse(&get), headers, &[], Presented::Absent);
        assert_eq!(refused(plan).rpc().code, -32020);
    }
}

#[test]
fn tasks_are_offered_where_a_modern_server_has_them() {
    let discover = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{"_meta":{{{META}}}}}}}"#
    );
    let told = |world: &World| {
        let Plan::Answer(parts) = world.modern("all", &discover, &[]) else {
            panic!("no answer");
        };
        json(&parts.to_bytes())["result"]["capabilities"].clone()
    };
    // The MCP Apps extension, which servers need not declare.
    let pages = json!({"io.modelcontextprotocol/ui": {}});
    assert_eq!(told(&World::new())["extensions"], pages);
    let with = World::of(&snapshot());
    let offered = json!({"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}});
    assert_eq!(told(&with)["extensions"], offered);
    let legacy = with.gateway().initialize("2025-11-25");
    assert_eq!(json(&legacy)["capabilities"]["extensions"], pages);
    let get = body("tasks/get", r#""taskId":"t""#, TASKS);
    assert_eq!(refused(World::new().modern("all", &get, &[])).status(), 404);
}

/// Tasks of these ids that a client with this token and these capabilities may subscribe to.
fn followed(
    world: &World,
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
fn only_ones_own_tasks_can_be_listened_to_and_only_by_who_follows_tasks() {
    let world = World::of(&snapshot());
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
fn news_of_a_task_is_told_as_the_answer_about_it_would_be() {
    let world = World::of(&snapshot());
    let id = started(&world, "all");
    let call = followed(&world, "all", &[&id], TASKS).remove(0);
    let told = |params: Value| task_news(&call, params.to_string().as_bytes());
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
    let large = json!({"content": [{"type": "text", "text": "x".repeat(NOTICE)}]});
    let short = told(json!({"taskId": "t-1", "status": "completed", "result": large}));
    let short = json(&short.unwrap());
    assert_eq!(short, json!({"taskId": id, "status": "completed"}));
}

#[test]
fn what_is_kept_of_a_notice_is_no_more_than_it_may_have() {
    let exact = format!(r#"{{"taskId":"{}"}}"#, "x".repeat(NOTICE - 13));
    assert_eq!(notice_of(exact.as_bytes()).unwrap(), exact);
    let large = json!({"taskId": "t-1", "status": "failed", "error": "x".repeat(NOTICE),
        "inputRequests": "x".repeat(NOTICE), "result": "x".repeat(NOTICE)});
    let short = json(&notice_of(large.to_string().as_bytes()).unwrap());
    assert_eq!(short, json!({"taskId": "t-1", "status": "failed"}));
    let message = json!({"taskId": "t-1", "statusMessage": "x".repeat(NOTICE)});
    assert_eq!(notice_of(message.to_string().as_bytes()), None);
}
