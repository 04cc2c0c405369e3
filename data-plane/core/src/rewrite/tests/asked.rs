//! Tests of server requests during a call, for clients of both eras.

use bytes::Bytes;
use serde_json::json;
use toolgate_model::Era;

use super::{UPSTREAM_ID, json};
use crate::{
    Plan, Refusal,
    call::elicitation::{Elicitation, ElicitationKind, MAX_SIZE},
    call::suspended::{CallTicket, HANDLE},
    client_state::{NONCE_LEN, StateContext},
    fixture::{GatewayFixture, META},
    plan::CallPlan,
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, RelayAction, ResponseRelay, input_required, with_input_responses},
    session::session_id::ClientCapabilities,
};

const CAN: &str = r#"{"elicitation":{"url":{},"form":{}},"roots":{}}"#;

/// Plan of a call of a legacy server's tool by a client with these capabilities.
fn planned(world: &GatewayFixture, era: Era, capabilities: &str, extra: &str) -> Plan {
    let meta = META.replace("{}", capabilities);
    let meta = match era {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#","_meta":{{{meta}}}"#),
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{{"name":"files__read","arguments":{{"x":1}}{extra}{meta}}}}}"#
    );
    match era {
        Era::Legacy => world.legacy("all", &body),
        Era::Modern => world.modern("all", &body, &[]),
    }
}

fn call(era: Era, capabilities: &str) -> std::sync::Arc<CallPlan> {
    let mut world = GatewayFixture::new();
    world.session.capabilities = ClientCapabilities::read(capabilities.as_bytes());
    let Plan::Call(call) = planned(&world, era, capabilities, "") else {
        panic!("no call");
    };
    call
}

fn relay(era: Era, server: Era) -> ResponseRelay {
    ResponseRelay::new(call(era, CAN), server, UPSTREAM_ID, None)
}

fn on(relay: &mut ResponseRelay, message: &str) -> RelayAction {
    relay.on(&Bytes::from(message.to_owned()))
}

#[test]
fn server_requests_need_a_declared_client_capability() {
    for era in [Era::Legacy, Era::Modern] {
        let mut relay = relay(era, Era::Legacy);
        let ask = r#"{"jsonrpc":"2.0","id":"\u0031","method":"elicitation/create","params":{"mode":"url","url":"https://x.example/"}}"#;
        let RelayAction::ServerRequest(id, question) = on(&mut relay, ask) else {
            panic!("not asked");
        };
        assert_eq!(
            (&*id, question.kind()),
            (r#""\u0031""#, ElicitationKind::Url)
        );
        let sample = r#"{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}"#;
        let RelayAction::LocalReply(refused) = on(&mut relay, sample) else {
            panic!("not refused");
        };
        assert_eq!(json(&refused)["error"]["code"], -32601);
        let back =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
        assert_eq!(on(&mut relay, back), RelayAction::Cancelled("2".into()));
    }
}

#[test]
fn request_rounds_of_modern_servers_work_for_legacy_clients() {
    let wants = |requests: &str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":42,"result":{{"resultType":"input_required","requestState":"s\u0031"{requests}}}}}"#
        );
        on(&mut relay(Era::Legacy, Era::Modern), &text)
    };
    let RelayAction::InputRequired(required) =
        wants(r#","inputRequests":{"a":{"method":"roots/list","params":{}}}"#)
    else {
        panic!("not asked");
    };
    assert_eq!(required.state.as_deref(), Some(r#""s\u0031""#));
    assert_eq!(required.requests.len(), 1);
    assert!(
        matches!(wants(""), RelayAction::InputRequired(_)),
        "only state"
    );
    let RelayAction::Final(reply) = wants(r#","inputRequests":{"a":{"method":"x/y"}}"#) else {
        panic!("went on");
    };
    assert_eq!(
        reply.outcome,
        CallOutcome::Failed(UpstreamFailure::NeedsInput)
    );
}

#[test]
fn a_retry_carries_exactly_the_state_of_the_server() {
    let body = Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","requestState":"old","arguments":{"n":1.0}}}"#,
    );
    let sent = with_input_responses(&body, Some(br#"{"a":{}}"#), Some(r#""s\u0031""#)).unwrap();
    assert_eq!(
        sent,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","arguments":{"n":1.0},"inputResponses":{"a":{}},"requestState":"s\u0031"}}"#
    );
}

#[test]
fn errors_caused_by_the_relay_policy_do_not_blame_the_client() {
    let missing = |required: &str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":42,"error":{{"code":-32021,"message":"m","data":{{"requiredCapabilities":{required}}}}}}}"#
        );
        let relayed = on(&mut relay(Era::Modern, Era::Modern), &text);
        let RelayAction::Final(reply) = relayed else {
            panic!("{relayed:?}");
        };
        reply
    };
    assert_eq!(missing(r#"{"sampling":{}}"#).status, 400);
    let kept_back = missing(r#"{"roots":{}}"#);
    assert_eq!(
        kept_back.outcome,
        CallOutcome::Failed(UpstreamFailure::NeedsInput)
    );
}

#[test]
fn a_suspended_call_is_continued_only_by_the_same_request() {
    let world = GatewayFixture::new();
    let call = call(Era::Modern, CAN);
    let question = Elicitation::read("roots/list", None).unwrap();
    let reply = input_required(&call, [("question-1", &question)], "state");
    let answer = json(&reply.body.to_bytes());
    assert_eq!(answer["id"], "c-1");
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["requestState"], "state");
    let asked = json!({"question-1": {"method": "roots/list", "params": {}}});
    assert_eq!(result["inputRequests"], asked);
    let ticket = |request| CallTicket {
        handle: [1; HANDLE],
        request,
        owner: crate::OwningProxy::new("proxy-1".parse().unwrap(), None),
    };
    let (gateway, caller) = ("main".parse().unwrap(), world.caller("all"));
    let context = StateContext {
        gateway: &gateway,
        principal: caller.principal(),
    };
    let digest = |arguments: &str| {
        let server = call.server().identity();
        crate::call::suspended::digest(&server, "tools/call", "files__read", arguments.as_bytes())
            .unwrap()
    };
    let retry = |arguments: &str, answers: &str| {
        let state = ticket(digest(arguments)).encrypt(&world.cipher, context, &[2; NONCE_LEN]);
        let extra = format!(r#","requestState":"{state}"{answers}"#);
        planned(&world, Era::Modern, CAN, &extra)
    };
    let Plan::Call(continued) = retry(r#"{ "x" : 1 }"#, r#","inputResponses":{}"#) else {
        panic!("refused");
    };
    let retry_of = continued.continuation.as_ref().unwrap();
    assert_eq!(retry_of.ticket, ticket(digest(r#"{"x":1}"#)));
    assert!(retry_of.responses.is_some());
    let refused = |plan: Plan| matches!(plan, Plan::Refuse(Refusal::InvalidParams(_)));
    assert!(refused(retry(r#"{"x":2}"#, "")));
    let forged = planned(&world, Era::Modern, CAN, r#","requestState":"forged""#);
    assert!(refused(forged));
    // Answers without a question do not make a request invalid.
    let stray = planned(&world, Era::Modern, CAN, r#","inputResponses":{}"#);
    let Plan::Call(stray) = stray else {
        panic!("{stray:?}");
    };
    assert!(stray.continuation.is_none() && stray.strips_continuation());
    // Legacy clients are not affected.
    let legacy = planned(&world, Era::Legacy, CAN, r#","inputResponses":{}"#);
    assert!(matches!(legacy, Plan::Call(_)));
}

/// The rejection of a request that is too large names the size limit, and does not claim that the client lacks
/// support.
#[test]
fn a_too_large_server_request_is_rejected_as_such() {
    for era in [Era::Legacy, Era::Modern] {
        let mut relay = relay(era, Era::Legacy);
        let text = "m".repeat(MAX_SIZE);
        let ask = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{{"message":"{text}"}}}}"#
        );
        let RelayAction::LocalReply(refused) = on(&mut relay, &ask) else {
            panic!("not refused");
        };
        let error = &json(&refused)["error"];
        assert_eq!(error["code"], -32602);
        let words = error["message"].as_str().unwrap();
        assert!(words.contains("256 KiB"), "{words}");
    }
}
