//! Calls of other things than tools: sent under the server's own names, and failed by an error.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use toolgate_mcp::Span;
use toolgate_model::{Digest, Era};

use super::{OWN, call, json};
use crate::{
    PromptView,
    plan::{CallPlan, CompletionTarget, ResourceTarget, Target},
    refusal::UpstreamFailure,
    rewrite::{Outcome, Relay, Request, Towards, request},
};

/// A call for this, in which `subject` stands for it.
fn planned(
    client: Era,
    target: impl Fn(&CallPlan) -> Target,
    body: &str,
    subject: &str,
) -> CallPlan {
    let (call, _body) = call(client, "files__read", "", "");
    let place = |text: &str| {
        let start = body.find(text).unwrap();
        Span::new(start, start + text.len())
    };
    let mut call = CallPlan::clone(&call);
    call.target = target(&call);
    call.spans.id = place("7");
    call.spans.subject = place(subject);
    let params = body.find("\"params\":").unwrap() + "\"params\":".len();
    call.spans.params = Span::new(params, body.len() - 1);
    call.spans.meta = None;
    call
}

fn prompt(call: &CallPlan) -> Target {
    Target::Prompt(Arc::new(PromptView {
        exposed: "files__review".into(),
        original: "review".into(),
        original_json: Bytes::from_static(b"\"review\""),
        server: Arc::clone(call.server()),
        digest: Digest::of_bytes(b"review"),
    }))
}

fn resource(call: &CallPlan) -> Target {
    Target::Resource(ResourceTarget {
        server: Arc::clone(call.server()),
        exposed: "files+memo:\u{e9}".into(),
        original: "memo:\u{e9}".into(),
        original_json: Bytes::from("\"memo:\u{e9}\""),
    })
}

fn completion(call: &CallPlan) -> Target {
    Target::Completion(CompletionTarget {
        server: Arc::clone(call.server()),
        original_json: Bytes::from_static(b"\"review\""),
    })
}

fn sent(call: &CallPlan, body: &str, era: Era) -> Request {
    let to = Towards {
        era,
        version: "2026-07-28",
        id: OWN,
        log_level: None,
        traceparent: None,
    };
    request(&Bytes::from(body.to_owned()), call, &to).unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut all = request.headers.iter();
    all.find(|(header, _)| header == name)
        .map(|(_, value)| value.as_str())
}

const PROMPT: &str = r#"{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"files__review","arguments":{"a":"b"}}}"#;
const RESOURCE: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"files+memo:\u00e9"}}"#;
const COMPLETION: &str = r#"{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"files__review"},"argument":{"name":"a","value":"b"}}}"#;

#[test]
fn servers_are_asked_by_their_own_names() {
    let call = planned(Era::Legacy, prompt, PROMPT, r#""files__review""#);
    let request = sent(&call, PROMPT, Era::Legacy);
    assert_eq!(
        json(&request.body)["params"],
        json!({"name": "review", "arguments": {"a": "b"}})
    );
    let request = sent(&call, PROMPT, Era::Modern);
    assert_eq!(header(&request, "mcp-method"), Some("prompts/get"));
    assert_eq!(header(&request, "mcp-name"), Some("review"));
    let call = planned(Era::Legacy, resource, RESOURCE, r#""files+memo:\u00e9""#);
    let request = sent(&call, RESOURCE, Era::Modern);
    assert_eq!(json(&request.body)["params"]["uri"], "memo:\u{e9}");
    assert_eq!(header(&request, "mcp-method"), Some("resources/read"));
    assert_eq!(
        header(&request, "mcp-name"),
        Some("=?base64?bWVtbzrDqQ==?=")
    );
    let call = planned(Era::Modern, completion, COMPLETION, r#""files__review""#);
    let request = sent(&call, COMPLETION, Era::Modern);
    assert_eq!(
        json(&request.body)["params"]["ref"],
        json!({"type": "ref/prompt", "name": "review"})
    );
    assert_eq!(header(&request, "mcp-method"), Some("completion/complete"));
    assert_eq!(header(&request, "mcp-name"), None);
}

#[test]
fn what_failed_is_an_error_that_says_what_it_was() {
    let call = planned(Era::Modern, resource, RESOURCE, r#""files+memo:\u00e9""#);
    let mut relay = Relay::new(Arc::new(call), Era::Legacy, OWN, None);
    let reply = relay.fail(UpstreamFailure::Unreachable);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.outcome, Outcome::Failed(UpstreamFailure::Unreachable));
    let error = json(&reply.body.to_bytes());
    assert_eq!(
        (&error["id"], &error["error"]["code"]),
        (&json!("c-1"), &json!(-32603))
    );
    assert_eq!(
        error["error"]["message"],
        "the server of this resource cannot be reached"
    );
}

#[test]
fn nobody_is_asked_for_input_to_complete_an_argument() {
    let answer =
        r#"{"jsonrpc":"2.0","id":42,"result":{"resultType":"input_required","requestState":"s"}}"#;
    let outcome = |target: fn(&CallPlan) -> Target| {
        let call = planned(Era::Modern, target, PROMPT, r#""files__review""#);
        let mut relay = Relay::new(Arc::new(call), Era::Modern, OWN, None);
        relay
            .only(&Bytes::from_static(answer.as_bytes()))
            .unwrap()
            .outcome
    };
    assert_eq!(outcome(prompt), Outcome::InputRequired);
    assert_eq!(outcome(resource), Outcome::InputRequired);
    assert_eq!(
        outcome(completion),
        Outcome::Failed(UpstreamFailure::NeedsInput)
    );
}
