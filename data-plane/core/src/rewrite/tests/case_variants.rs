//! Members whose names differ from those of the protocol by case only reach no client.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_model::Era;

use super::{json, relay};
use crate::{
    call::elicitation::Elicitation,
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, RelayAction},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn bytes(message: &Value) -> Bytes {
    Bytes::from(message.to_string())
}

/// Message that ends a call, as the client of this era gets it.
fn answered(client: Era, server: Era, answer: &Value) -> (Value, CallOutcome) {
    let reply = relay(client, server, "").on_single_response(&bytes(answer));
    let reply = reply.unwrap();
    (json(&reply.body.to_bytes()), reply.outcome)
}

#[test]
fn members_in_another_case_reach_no_client() {
    for (client, server) in ERAS.map(|it| ERAS.map(|other| (it, other))).concat() {
        let answer = json!({"jsonrpc": "2.0", "id": 42, "result": {
            "content": [{"type": "text", "text": "a", "Text": "b", "vendor": 1}],
            "Content": [], "IsError": true, "ResultType": "input_required", "REQUESTSTATE": "s",
            "InputRequests": {"k": {"method": "elicitation/create", "params": {"message": "m"}}}, "Vendor": 1,
        }});
        let (shown, outcome) = answered(client, server, &answer);
        assert_eq!(outcome, CallOutcome::Done);
        let mut result = shown["result"].as_object().unwrap().clone();
        result.retain(|name, _| !matches!(name.as_str(), "resultType" | "_meta"));
        let expected =
            json!({"content": [{"type": "text", "text": "a", "vendor": 1}], "Vendor": 1});
        assert_eq!(Value::Object(result), expected);

        let answer = json!({"jsonrpc": "2.0", "id": 42, "error":
            {"code": -32000, "Code": -32042, "message": "m", "Message": "\u{202e}", "Data": {}}});
        let (shown, outcome) = answered(client, server, &answer);
        assert_eq!(outcome, CallOutcome::Error);
        assert_eq!(shown["error"], json!({"code": -32000, "message": "m"}));
    }
}

#[test]
fn a_message_with_an_envelope_in_another_case_fails_the_call() {
    for (client, server) in ERAS.map(|it| ERAS.map(|other| (it, other))).concat() {
        for (name, value) in [
            ("Id", json!(1)),
            ("Result", json!({})),
            ("ERROR", json!({})),
        ] {
            let mut answer = json!({"jsonrpc": "2.0", "id": 42, "result": {"content": []}});
            answer[name] = value;
            let (_, outcome) = answered(client, server, &answer);
            let malformed = CallOutcome::Failed(UpstreamFailure::Malformed);
            assert_eq!(outcome, malformed, "{name}");
        }
    }
}

#[test]
fn notifications_lose_members_in_another_case() {
    let mut relay = relay(Era::Legacy, Era::Legacy, r#""progressToken":"t""#);
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
        {"progressToken": 42, "progress": 1, "Progress": 100, "Message": "other"}});
    let RelayAction::Progress(notice) = relay.on(&bytes(&progress)) else {
        panic!("not forwarded");
    };
    let shown = json(&relay.render(&notice).unwrap());
    assert_eq!(
        shown["params"],
        json!({"progressToken": "t", "progress": 1})
    );
    let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params":
        {"level": "error", "Logger": "gateway", "data": {"Level": 1}, "DATA": "other"}});
    let RelayAction::Log(_, notice) = relay.on(&bytes(&log)) else {
        panic!("not forwarded");
    };
    let shown = json(&relay.render(&notice).unwrap());
    assert_eq!(
        shown["params"],
        json!({"level": "error", "data": {"Level": 1}})
    );
}

#[test]
fn requests_with_members_in_another_case_are_not_put_to_clients() {
    let message = |text: &str| json!({"messages": [{"role": "user", "content": {"type": "text", text: "x"}}]});
    let form = |name: &str| json!({"message": "m", "requestedSchema": {name: {"pin": {"type": "string"}}}});
    for (method, given, variant) in [
        ("sampling/createMessage", message("text"), message("Text")),
        (
            "sampling/createMessage",
            json!({"maxTokens": 1}),
            json!({"maxTokens": 1, "MaxTokens": 9}),
        ),
        ("roots/list", json!({}), json!({"_Meta": {}})),
        ("elicitation/create", form("properties"), form("Properties")),
    ] {
        let read = |params: &Value| Elicitation::read(method, Some(params.to_string().as_bytes()));
        assert!(read(&given).is_some(), "{given}");
        assert!(read(&variant).is_none(), "{variant}");
    }
}
