//! Tests of calls of prompts, resources and completions: requests use the server's own names, responses the exposed
//! ones, and failures are JSON-RPC errors.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_model::Era;

use super::{UPSTREAM_ID, json, owned};
use crate::{
    Plan,
    fixture::{GatewayFixture, META},
    plan::CallPlan,
    refusal::UpstreamFailure,
    rewrite::{
        CallOutcome, ClientResponse, IncompleteResponse, ResponseRelay, UpstreamRequest,
        UpstreamRequestOptions, request,
    },
};

pub(super) const PROMPT: (&str, &str) = (
    "prompts/get",
    r#""name":"weather__trip","arguments":{"to":"\u00e5"}"#,
);
pub(super) const RESOURCE: (&str, &str) = ("resources/read", r#""uri":"weather+memo:t\u00e5""#);
pub(super) const COMPLETION: (&str, &str) = (
    "completion/complete",
    r#""ref":{"type":"ref/prompt","name":"weather__trip"},"argument":{"name":"to","value":"o"}"#,
);
pub(super) const TOOL: (&str, &str) = ("tools/call", r#""name":"weather__now""#);

const CELLS: [(Era, Era); 4] = [
    (Era::Legacy, Era::Legacy),
    (Era::Legacy, Era::Modern),
    (Era::Modern, Era::Legacy),
    (Era::Modern, Era::Modern),
];

pub(super) fn planned(client: Era, (method, params): (&str, &str)) -> (Arc<CallPlan>, Bytes) {
    let meta = match client {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#","_meta":{{{META}}}"#),
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"{method}","params":{{{params}{meta}}}}}"#
    );
    let world = GatewayFixture::new();
    let plan = match client {
        Era::Legacy => world.legacy("all", &body),
        Era::Modern => world.modern("all", &body, &[]),
    };
    let Plan::Call(call) = plan else {
        panic!("{plan:?}");
    };
    (call, Bytes::from(body))
}

fn sent(client: Era, asked: (&str, &str), server: Era) -> UpstreamRequest<'static> {
    let (call, body) = planned(client, asked);
    let to = UpstreamRequestOptions {
        era: server,
        version: "2026-07-28",
        id: UPSTREAM_ID,
        log_level: None,
        traceparent: None,
    };
    owned(request(&body, &call, &to).unwrap())
}

fn header<'a>(request: &'a UpstreamRequest<'_>, name: &str) -> Option<&'a str> {
    let mut all = request.headers.iter();
    all.find(|(header, _)| header == name)
        .map(|(_, value)| &**value)
}

/// Rewritten member `result` or `error` of a response.
fn told(client: Era, asked: (&str, &str), server: Era, member: &str) -> (Value, ClientResponse) {
    let (call, _body) = planned(client, asked);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{UPSTREAM_ID},{member}}}"#);
    let mut relay = ResponseRelay::new(call, server, UPSTREAM_ID, None);
    let reply = match relay.on_single_response(&Bytes::from(answer)) {
        Ok(reply) => reply,
        Err(IncompleteResponse::EncryptState(_)) => {
            relay.respond_with_encrypted_state(Some("encrypted"))
        }
        Err(other) => panic!("{other:?}"),
    };
    (json(&reply.body.to_bytes()), reply)
}

#[test]
fn servers_are_called_by_their_original_names() {
    for (client, server) in CELLS {
        let prompt = sent(client, PROMPT, server);
        let params = json(&prompt.body)["params"].clone();
        assert_eq!(
            (&params["name"], &params["arguments"]["to"]),
            (&json!("trip"), &json!("å"))
        );
        let read = sent(client, RESOURCE, server);
        assert_eq!(json(&read.body)["params"]["uri"], "memo:tå");
        let complete = sent(client, COMPLETION, server);
        let reference = json(&complete.body)["params"]["ref"].clone();
        assert_eq!(reference, json!({"type": "ref/prompt", "name": "trip"}));
        let named = |request: &UpstreamRequest<'_>| {
            let found = ["mcp-method", "mcp-name"].map(|name| header(request, name));
            found.map(|value| value.unwrap_or_default().to_owned())
        };
        let told = [&prompt, &read, &complete].map(named);
        if server == Era::Modern {
            assert_eq!(told[0], ["prompts/get", "trip"]);
            assert_eq!(told[1], ["resources/read", "=?base64?bWVtbzp0w6U=?="]);
            assert_eq!(told[2], ["completion/complete", ""]);
        } else {
            assert_eq!(told.concat().concat(), "");
        }
    }
}

#[test]
fn a_failed_request_is_an_error_that_names_its_target() {
    let (call, _body) = planned(Era::Modern, RESOURCE);
    let reply =
        ResponseRelay::new(call, Era::Legacy, UPSTREAM_ID, None).fail(UpstreamFailure::Unreachable);
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.outcome,
        CallOutcome::Failed(UpstreamFailure::Unreachable)
    );
    let error = json(&reply.body.to_bytes());
    assert_eq!(
        (&error["id"], &error["error"]["code"]),
        (&json!("c-1"), &json!(-32603))
    );
    let text = &error["error"]["message"];
    assert_eq!(text, "the server of this resource cannot be reached");
}

#[test]
fn completion_requests_no_client_input() {
    let wanted = r#""result":{"resultType":"input_required","requestState":"s"}"#;
    for asked in [TOOL, PROMPT, RESOURCE] {
        let (told, reply) = told(Era::Modern, asked, Era::Modern, wanted);
        assert_eq!(reply.outcome, CallOutcome::InputRequired);
        assert_eq!(told["result"]["requestState"], "encrypted");
        assert!(told["result"].get("ttlMs").is_none());
    }
    let (_, reply) = told(Era::Modern, COMPLETION, Era::Modern, wanted);
    assert_eq!(
        reply.outcome,
        CallOutcome::Failed(UpstreamFailure::NeedsInput)
    );
}

#[test]
fn uris_are_prefixed_everywhere_in_a_result() {
    let read = r#""result":{"contents":[{"uri":"memo:t\u00e5","text":"memo:x"},{"uri":"https://a.example/"},{"uri":"ui://v","blob":"eA=="}]}"#;
    let prompt = r#""result":{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"memo:a","text":"memo:x"}}},{"role":"user","content":[{"type":"text","text":"memo:x"},{"type":"resource_link","uri":"memo:b","name":"b"}]}]}"#;
    let tool = r#""result":{"content":[{"type":"resource_link","uri":"memo:a","name":"a"},{"type":"r\u0065source","resource":{"uri":"memo:b","text":"resource"}},{"type":"text","text":"memo:x"}],"structuredContent":{"uri":"memo:x"},"_meta":{"ui":{"resourceUri":"ui://map"},"k/l":1}}"#;
    for (client, server) in CELLS {
        let (got, _) = told(client, RESOURCE, server, read);
        let contents = &got["result"]["contents"];
        assert_eq!(
            contents[0],
            json!({"uri": "weather+memo:tå", "text": "memo:x"})
        );
        assert_eq!(contents[1]["uri"], "https://a.example/");
        assert_eq!(contents[2]["uri"], "ui://weather/v");
        let (got, _) = told(client, PROMPT, server, prompt);
        let messages = &got["result"]["messages"];
        assert_eq!(messages[0]["content"]["resource"]["uri"], "weather+memo:a");
        assert_eq!(messages[0]["content"]["resource"]["text"], "memo:x");
        assert_eq!(messages[1]["content"][1]["uri"], "weather+memo:b");
        let (got, _) = told(client, TOOL, server, tool);
        let result = &got["result"];
        assert_eq!(result["content"][0]["uri"], "weather+memo:a");
        // The type is recognized even if it is written with escapes.
        assert_eq!(result["content"][1]["resource"]["uri"], "weather+memo:b");
        assert_eq!(result["content"][2]["text"], "memo:x");
        assert_eq!(result["structuredContent"]["uri"], "memo:x");
        assert_eq!(result["_meta"]["ui"]["resourceUri"], "ui://weather/map");
        assert_eq!(got["id"], "c-1");
    }
}

#[test]
fn read_resources_are_marked_private_for_caches() {
    let hints = |members: &str| {
        let result = format!(r#""result":{{"contents":[]{members}}}"#);
        let (got, _) = told(Era::Modern, RESOURCE, Era::Modern, &result);
        let result = &got["result"];
        assert_eq!(result["resultType"], "complete");
        (result["ttlMs"].clone(), result["cacheScope"].clone())
    };
    let private = || json!("private");
    assert_eq!(hints(""), (json!(0), private()));
    assert_eq!(
        hints(r#","ttlMs":7,"cacheScope":"public""#),
        (json!(7), private())
    );
    assert_eq!(
        hints(r#","ttlMs":-1,"resultType":"complete""#),
        (json!(0), private())
    );
    let (legacy, _) = told(
        Era::Legacy,
        RESOURCE,
        Era::Modern,
        r#""result":{"contents":[],"resultType":"complete","ttlMs":7,"cacheScope":"private"}"#,
    );
    assert_eq!(legacy["result"], json!({"contents": []}));
    let (prompt, _) = told(
        Era::Modern,
        PROMPT,
        Era::Modern,
        r#""result":{"messages":[]}"#,
    );
    assert!(prompt["result"].get("ttlMs").is_none());
}

#[test]
fn a_missing_resource_has_the_error_code_of_the_era() {
    let old = r#""error":{"code":-32002,"message":"no","data":{"uri":"memo:t\u00e5","x":1}}"#;
    let bare = r#""error":{"code":-32002,"message":"no"}"#;
    let new = r#""error":{"code":-32602,"message":"no","data":{"uri":"memo:t\u00e5"}}"#;
    let other = r#""error":{"code":-32602,"message":"no"}"#;
    for server in [Era::Legacy, Era::Modern] {
        for (client, code) in [(Era::Legacy, -32002), (Era::Modern, -32602)] {
            for error in [old, bare, new] {
                let (got, reply) = told(client, RESOURCE, server, error);
                assert_eq!(reply.status, 200);
                assert_eq!(got["error"]["code"], code, "{error}");
                assert_eq!(got["error"]["message"], "no");
                assert_eq!(got["error"]["data"]["uri"], "weather+memo:tå");
            }
            let (got, _) = told(client, RESOURCE, server, other);
            assert_eq!(got["error"], json!({"code": -32602, "message": "no"}));
        }
    }
    let (got, _) = told(Era::Modern, RESOURCE, Era::Legacy, old);
    assert_eq!(got["error"]["data"]["x"], 1);
}

#[test]
fn completions_are_capped_at_one_hundred() {
    let values: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    let answer = |count: usize| {
        let completion = json!({"values": values[..count], "x": 1});
        let result = format!(r#""result":{{"completion":{completion},"_meta":{{}}}}"#);
        told(Era::Legacy, COMPLETION, Era::Modern, &result).0["result"]["completion"].clone()
    };
    assert_eq!(answer(100), json!({"values": values[..100], "x": 1}));
    let capped = json!({"values": values[..100], "x": 1, "total": 101, "hasMore": true});
    assert_eq!(answer(101), capped);
}
