//! Tests of responses.

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_model::Era;

use super::{json, relay};
use crate::{
    call::request_state::STATE_LIMIT,
    fixture::GatewayFixture,
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, ClientResponse, IncompleteResponse, RelayAction, ResponseRelay},
};

const CELLS: [(Era, Era); 4] = [
    (Era::Legacy, Era::Legacy),
    (Era::Legacy, Era::Modern),
    (Era::Modern, Era::Legacy),
    (Era::Modern, Era::Modern),
];

fn reply(client: Era, server: Era, answer: &str) -> ClientResponse {
    relay(client, server, "")
        .on_single_response(&Bytes::from(answer.to_owned()))
        .unwrap()
}

fn body(reply: &ClientResponse) -> Value {
    json(&reply.body.to_bytes())
}

#[test]
fn legacy_to_legacy_changes_only_the_id() {
    let answer = r#"{ "id" : 42, "result":{"content":[{"type":"text","text":"\u00e9"}],"x":1e2,"_meta":{"a/b":1}} ,"jsonrpc":"2.0"}"#;
    let reply = reply(Era::Legacy, Era::Legacy, answer);
    assert_eq!(reply.outcome, CallOutcome::Done);
    assert_eq!(reply.body.to_bytes(), answer.replace("42", "\"c-1\""));
}

#[test]
fn modern_clients_get_a_result_type_and_the_gateway_name() {
    for answer in [
        r#"{"jsonrpc":"2.0","id":42,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"resultType":"complete"}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"_meta":{}}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"theirs","version":"9"}},"content":[],"resultType":"complete"}}"#,
    ] {
        let reply = reply(Era::Modern, Era::Modern, answer);
        let result = &body(&reply)["result"];
        assert_eq!(result["resultType"], "complete", "{answer}");
        let server = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(server["name"], "main", "{answer}");
        assert_eq!(result["content"], json!([]));
    }
    let empty = reply(
        Era::Modern,
        Era::Legacy,
        r#"{"jsonrpc":"2.0","id":42,"result":{}}"#,
    );
    assert_eq!(body(&empty)["result"]["resultType"], "complete");
}

#[test]
fn legacy_clients_get_no_modern_members() {
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"a":1,"resultType":"complete","structuredContent":[1],"content":[],"ttlMs":5,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"theirs","version":"9"},"k/l":2}}}"#;
    let reply = reply(Era::Legacy, Era::Modern, answer);
    assert_eq!(
        body(&reply)["result"],
        json!({"a": 1, "content": [], "_meta": {"k/l": 2}})
    );
}

#[test]
fn request_round_members_are_removed_from_ordinary_results() {
    let state = r#""request\u0053tate":"the server's own""#;
    let requests = r#""inputRequests":{"who":{"method":"roots/list"}}"#;
    for kind in ["", r#""resultType":"complete","#] {
        for round in [
            format!("{state},{requests}"),
            state.to_owned(),
            requests.to_owned(),
        ] {
            for (client, server) in &CELLS[1..] {
                let answer = format!(
                    r#"{{"jsonrpc":"2.0","id":42,"result":{{{round},{kind}"content":[],"x":1e2}}}}"#
                );
                let reply = reply(*client, *server, &answer);
                assert_eq!(reply.outcome, CallOutcome::Done, "{answer}");
                let result = body(&reply)["result"].clone();
                let mut names: Vec<_> = result.as_object().unwrap().keys().collect();
                names.retain(|name| !matches!(&***name, "_meta" | "resultType"));
                assert_eq!(names, ["content", "x"], "{answer}");
            }
        }
    }
    // Between two legacy parties these members have no special meaning.
    let answer = format!(r#"{{"jsonrpc":"2.0","id":42,"result":{{{state}}}}}"#);
    let reply = reply(Era::Legacy, Era::Legacy, &answer);
    assert_eq!(body(&reply)["result"]["requestState"], "the server's own");
}

#[test]
fn a_null_member_of_a_result_counts_as_absent() {
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"_meta":null,"content":[{"type":"text","text":"a"}],"isError":null,"resultType":null,"nextCursor":null}}"#;
    for (client, server) in CELLS {
        let reply = reply(client, server, answer);
        assert_eq!(reply.outcome, CallOutcome::Done);
        let result = body(&reply)["result"].clone();
        assert_eq!(result["content"][0]["text"], "a");
        for name in ["isError", "nextCursor"] {
            assert_eq!(result.get(name), None, "{result}");
        }
        for name in ["_meta", "resultType"] {
            assert_ne!(result.get(name), Some(&Value::Null), "{result}");
        }
    }
    // The content of a tool is required.
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"content":null,"structuredContent":null}}"#;
    for (client, server) in CELLS {
        let reply = reply(client, server, answer);
        let result = body(&reply)["result"].clone();
        assert_eq!(result["content"], json!([]));
        let structured = (client, server) == (Era::Modern, Era::Modern);
        assert_eq!(
            result.get("structuredContent").is_some(),
            structured,
            "{result}"
        );
    }
}

#[test]
fn a_result_with_an_unpaired_surrogate_is_forwarded_as_it_is() {
    let text = r#""text":"a\ud83d""#;
    let answer =
        format!(r#"{{"jsonrpc":"2.0","id":42,"result":{{"content":[{{"type":"text",{text}}}]}}}}"#);
    for (client, server) in CELLS {
        let reply = reply(client, server, &answer);
        assert_eq!(reply.outcome, CallOutcome::Done);
        let sent = String::from_utf8(reply.body.to_bytes().to_vec()).unwrap();
        assert!(sent.contains(text), "{sent}");
    }
    let error = r#"{"jsonrpc":"2.0","id":42,"error":{"code":-32000,"message":"a\ud83d"}}"#;
    for (client, server) in CELLS {
        let reply = reply(client, server, error);
        assert_eq!(reply.outcome, CallOutcome::Error);
        let sent = String::from_utf8(reply.body.to_bytes().to_vec()).unwrap();
        assert!(
            sent.contains(r#""a\ud83d""#) || sent.contains("a\u{fffd}"),
            "{sent}"
        );
    }
}

#[test]
fn structured_objects_are_forwarded_to_both_eras() {
    let answer =
        r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"structuredContent":{"a":null}}}"#;
    for (client, server) in CELLS {
        let reply = reply(client, server, answer);
        assert_eq!(
            body(&reply)["result"]["structuredContent"],
            json!({"a": null})
        );
    }
    let list = r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"structuredContent":null}}"#;
    let modern = reply(Era::Modern, Era::Modern, list);
    assert_eq!(
        body(&modern)["result"].get("structuredContent"),
        Some(&Value::Null)
    );
    let legacy = reply(Era::Legacy, Era::Legacy, list);
    assert_eq!(body(&legacy)["result"].get("structuredContent"), None);
}

#[test]
fn tool_failures_are_forwarded_to_the_model() {
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"content":[{"type":"text","text":"no"}],"isError":true}}"#;
    for (client, server) in CELLS {
        let reply = reply(client, server, answer);
        assert_eq!(reply.outcome, CallOutcome::ToolError);
        assert_eq!(body(&reply)["result"]["content"][0]["text"], "no");
    }
}

#[test]
fn only_the_gateway_sets_the_failure_marker() {
    let forged = r#"{"jsonrpc":"2.0","id":42,"result":{"content":[],"isError":true,"_meta":{"k/l":2,"toolgate/failure":"upstream_broken"}}}"#;
    let unreadable = r#"{"jsonrpc":"2.0","id":42,"result":7}"#;
    for (client, server) in CELLS {
        let told = body(&reply(client, server, forged));
        let meta = &told["result"]["_meta"];
        assert_eq!(meta["k/l"], 2, "{told}");
        assert_eq!(meta.get("toolgate/failure"), None, "{told}");
        let told = body(&reply(client, server, unreadable));
        let meta = &told["result"]["_meta"];
        assert_eq!(meta["toolgate/failure"], "upstream_malformed", "{told}");
    }
}

#[test]
fn errors_are_translated_between_the_eras() {
    let code = |client, server, code: i64| {
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":42,"error":{{"code":{code},"message":"m","data":{{"requiredCapabilities":{{"sampling":{{}}}}}}}}}}"#
        );
        let reply = reply(client, server, &answer);
        let told = body(&reply)["error"]["code"].as_i64();
        (told.unwrap_or_default(), reply.status, reply.outcome)
    };
    let error = |code| (code, 200, CallOutcome::Error);
    let failed = |failure| (0, 200, CallOutcome::Failed(failure));
    for (client, server) in CELLS {
        assert_eq!(code(client, server, -32602), error(-32602));
        assert_eq!(code(client, server, -32603), error(-32603));
        assert_eq!(code(client, server, 17), error(17));
        // Errors that concern only the hop between server and gateway.
        assert_eq!(
            code(client, server, -32020),
            failed(UpstreamFailure::Status)
        );
        assert_eq!(
            code(client, server, -32022),
            failed(UpstreamFailure::Status)
        );
        assert_eq!(
            code(client, server, -32042),
            failed(UpstreamFailure::NeedsInput)
        );
    }
    assert_eq!(code(Era::Modern, Era::Legacy, -32002), error(-32602));
    assert_eq!(code(Era::Legacy, Era::Legacy, -32002), error(-32002));
    assert_eq!(code(Era::Modern, Era::Legacy, -32050), error(-32603));
    assert_eq!(code(Era::Legacy, Era::Legacy, -32050), error(-32050));
    assert_eq!(
        code(Era::Modern, Era::Modern, -32021),
        (-32021, 400, CallOutcome::Error)
    );
    let needs = failed(UpstreamFailure::NeedsInput);
    assert_eq!(code(Era::Legacy, Era::Modern, -32021), needs);
}

#[test]
fn errors_keep_their_message_and_data() {
    let answer = r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"bad \u00e9","data":{"x":[1.50]}},"id":42}"#;
    let reply = reply(Era::Legacy, Era::Legacy, answer);
    assert_eq!(reply.body.to_bytes(), answer.replace("42", "\"c-1\""));
    // A server that could not parse the request responds without an id.
    let lost = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#;
    let reply = super::relay(Era::Legacy, Era::Legacy, "")
        .on_single_response(&Bytes::from(lost))
        .unwrap();
    assert_eq!(body(&reply)["id"], "c-1");
}

#[test]
fn the_mark_of_refusals_of_the_gateway_is_dropped_from_errors_of_servers() {
    let forged = r#"{"jsonrpc":"2.0","id":42,"error":{"code":-32602,"message":"m","data":{"x":1,"toolgate/refusal":"unknown_tool"}}}"#;
    for (client, server) in CELLS {
        let error = body(&reply(client, server, forged))["error"].take();
        assert_eq!(error["data"], serde_json::json!({ "x": 1 }));
    }
}

#[test]
fn mc_03_deceptive_characters_in_error_messages_are_shown() {
    let answer = r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"bad\u202e \udb40\udc41\u001b[2J","data":{"x":1.50}},"id":42}"#;
    for client in [Era::Legacy, Era::Modern] {
        let error = body(&reply(client, Era::Modern, answer))["error"].take();
        assert_eq!(error["message"], "bad\\u{202e} \\u{e0041}\\u{1b}[2J");
        assert_eq!(error["data"]["x"], 1.5);
        assert_eq!(error["code"], -32602);
    }
}

#[test]
fn invalid_results_become_a_tool_error_without_server_details() {
    for answer in [
        "",
        "{}",
        "null",
        "[]",
        "<html>files.example</html>",
        r#"{"jsonrpc":"2.0","id":43,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"42","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"strange"}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":7}}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":[]}"#,
        r#"{"jsonrpc":"2.0","id":42,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":42,"error":{"code":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":42,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":1}}"#,
    ] {
        for (client, server) in CELLS {
            let reply = reply(client, server, answer);
            assert_eq!(
                reply.outcome,
                CallOutcome::Failed(UpstreamFailure::Malformed),
                "{answer}"
            );
            let told = body(&reply);
            assert_eq!(
                (&told["id"], &told["result"]["isError"]),
                (&json!("c-1"), &json!(true))
            );
            assert!(!told.to_string().contains("files.example"), "{told}");
            let modern = told["result"].get("resultType").is_some();
            assert_eq!(modern, client == Era::Modern);
        }
    }
}

#[test]
fn an_answer_nested_too_deeply_is_reported_as_such_and_other_deep_messages_do_not_end_the_call() {
    for levels in [100, 400, 520, 10_000] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let answers = [
            format!(r#"{{"jsonrpc":"2.0","id":42,"result":{{"content":[],"x":{deep}}}}}"#),
            format!(
                r#"{{"jsonrpc":"2.0","id":42,"error":{{"code":1,"message":"no","data":{deep}}}}}"#
            ),
        ];
        for (client, server) in CELLS {
            for answer in &answers {
                let reply = reply(client, server, answer);
                let failed = CallOutcome::Failed(UpstreamFailure::TooDeep);
                assert_eq!(reply.outcome, failed, "{levels} levels");
                let text = body(&reply)["result"]["content"][0]["text"].to_string();
                assert!(text.contains("nested more than 64 levels deep"), "{text}");
            }
            let mut relay = relay(client, server, "");
            let mut on = |message: String| relay.on(&Bytes::from(message));
            let notice = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"error","data":{deep}}}}}"#
            );
            assert_eq!(on(notice), RelayAction::Ignore);
            let other = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"x":{deep}}}}}"#);
            assert_eq!(on(other), RelayAction::Ignore);
            let request =
                format!(r#"{{"jsonrpc":"2.0","id":"q","method":"x","params":{{"x":{deep}}}}}"#);
            let RelayAction::LocalReply(refusal) = on(request) else {
                panic!("the server waits for an answer");
            };
            assert_eq!(json(&refusal)["id"], "q");
            let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"content":[]}}"#;
            assert!(matches!(on(answer.to_owned()), RelayAction::Final(_)));
        }
    }
}

#[test]
fn input_is_requested_only_from_clients_that_declared_it() {
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"input_required","requestState":"s","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"?"}}}}}"#;
    let ask = |capabilities: &str| {
        let meta = crate::fixture::META.replace("{}", capabilities);
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{{"name":"files__read","_meta":{{{meta}}}}}}}"#
        );
        let crate::Plan::Call(call) = GatewayFixture::new().modern("all", &text, &[]) else {
            panic!("no call");
        };
        let mut relay = ResponseRelay::new(call, Era::Modern, super::UPSTREAM_ID, None);
        match relay.on_single_response(&Bytes::from(answer)) {
            Ok(reply) => reply,
            Err(unfinished) => {
                assert_eq!(
                    unfinished,
                    IncompleteResponse::EncryptState(r#""s""#.into())
                );
                relay.respond_with_encrypted_state(Some("encrypted"))
            }
        }
    };
    let granted = ask(r#"{"elicitation":{}}"#);
    assert_eq!(granted.outcome, CallOutcome::InputRequired);
    assert_eq!(body(&granted)["result"]["resultType"], "input_required");
    assert_eq!(body(&granted)["result"]["requestState"], "encrypted");
    for lacking in ["{}", r#"{"sampling":{}}"#, r#"{"elicitation":{"url":{}}}"#] {
        let failed = CallOutcome::Failed(UpstreamFailure::NeedsInput);
        assert_eq!(ask(lacking).outcome, failed, "{lacking}");
    }
    let legacy = reply(Era::Legacy, Era::Modern, answer);
    assert_eq!(
        legacy.outcome,
        CallOutcome::Failed(UpstreamFailure::NeedsInput)
    );
}

/// The limit is not a setting of the server, so the error names no setting.
#[test]
fn a_too_long_request_state_is_reported_as_such() {
    let told = |client: Era, length: usize| {
        let state = format!("\"{}\"", "x".repeat(length - 2));
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":42,"result":{{"resultType":"input_required","requestState":{state}}}}}"#
        );
        relay(client, Era::Modern, "").on_single_response(&Bytes::from(answer))
    };
    let fits = |client| told(client, STATE_LIMIT);
    assert!(matches!(
        fits(Era::Modern),
        Err(IncompleteResponse::EncryptState(_))
    ));
    // For a legacy client the state is stored on this proxy.
    assert!(matches!(
        fits(Era::Legacy),
        Err(IncompleteResponse::InputRequired(_))
    ));
    for client in [Era::Modern, Era::Legacy] {
        let reply = told(client, STATE_LIMIT + 1).unwrap();
        let failed = CallOutcome::Failed(UpstreamFailure::StateTooLarge);
        assert_eq!(reply.outcome, failed);
        let reply = body(&reply);
        let words = reply["result"]["content"][0]["text"].as_str().unwrap();
        assert!(words.contains("48 KiB"), "{words}");
        assert!(!words.contains("max_answer_mib"), "{words}");
    }
}

#[test]
fn large_answers_are_not_copied() {
    let text = "x".repeat(1 << 20);
    let answer = Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":42,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#
    ));
    let inside = answer.as_ptr_range();
    for (client, server) in CELLS {
        let reply = relay(client, server, "")
            .on_single_response(&answer)
            .unwrap();
        let shared = reply
            .body
            .segments()
            .iter()
            .filter(|piece| inside.contains(&piece.as_ptr()));
        assert!(shared.map(Bytes::len).sum::<usize>() > 1 << 20);
        assert_eq!(body(&reply)["result"]["content"][0]["text"], text.as_str());
    }
}

#[test]
fn a_legacy_server_cannot_require_input_by_a_result() {
    let answer = r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"input_required","requestState":"s","inputRequests":{"r":{"method":"roots/list"}}}}"#;
    for client in [Era::Legacy, Era::Modern] {
        let reply = reply(client, Era::Legacy, answer);
        let malformed = CallOutcome::Failed(UpstreamFailure::Malformed);
        assert_eq!(reply.outcome, malformed, "{client:?}: {reply:?}");
    }
}
