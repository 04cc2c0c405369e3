//! Tests of messages that precede the response.

use bytes::Bytes;
use serde_json::json;
use toolgate_model::Era;

use super::{json, relay};
use crate::{
    refusal::UpstreamFailure,
    rewrite::{CallOutcome, RelayAction, ResponseRelay},
    session::LogLevel,
};

fn on(relay: &mut ResponseRelay, message: &str) -> RelayAction {
    relay.on(&Bytes::from(message.to_owned()))
}

fn progress(token: &str, progress: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{progress},"total":10}}}}"#
    )
}

fn log(level: &str, logger: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}",{logger}"data":{{"x":1}}}}}}"#
    )
}

#[test]
fn progress_uses_the_clients_token_and_only_increases() {
    for (client, server) in [(Era::Legacy, Era::Modern), (Era::Modern, Era::Legacy)] {
        let mut relay = relay(client, server, r#""progressToken":"t\u0031""#);
        let RelayAction::Progress(first) = on(&mut relay, &progress("42", "1")) else {
            panic!("not forwarded");
        };
        assert_eq!(
            relay.render(&first).unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t\u0031","progress":1,"total":10}}"#
        );
        for stale in [
            progress("42", "1"),
            progress("42", "0.5"),
            progress("43", "9"),
            progress("\"42\"", "9"),
            progress("42", "\"9\""),
        ] {
            assert_eq!(on(&mut relay, &stale), RelayAction::Ignore, "{stale}");
        }
        assert!(matches!(
            on(&mut relay, &progress("42", "1.5")),
            RelayAction::Progress(_)
        ));
    }
    let mut unasked = relay(Era::Legacy, Era::Legacy, "");
    assert_eq!(on(&mut unasked, &progress("42", "1")), RelayAction::Ignore);
}

#[test]
fn log_messages_reach_clients_that_requested_their_level() {
    let mut legacy = relay(Era::Legacy, Era::Legacy, "");
    assert_eq!(on(&mut legacy, &log("debug", "")), RelayAction::Ignore);
    let RelayAction::Log(LogLevel::Info, plain) = on(&mut legacy, &log("info", "")) else {
        panic!("not forwarded");
    };
    assert_eq!(legacy.render(&plain).unwrap(), log("info", ""));
    let RelayAction::Log(LogLevel::Error, named) =
        on(&mut legacy, &log("error", r#""logger":"d\u0062","#))
    else {
        panic!("not forwarded");
    };
    let named = legacy.render(&named).unwrap();
    assert_eq!(json(&named)["params"]["logger"], "files/db");
    let mut silent = relay(Era::Modern, Era::Legacy, "");
    assert_eq!(on(&mut silent, &log("emergency", "")), RelayAction::Ignore);
    let asked = r#""io.modelcontextprotocol/logLevel":"error""#;
    let mut asking = relay(Era::Modern, Era::Legacy, asked);
    assert_eq!(on(&mut asking, &log("warning", "")), RelayAction::Ignore);
    assert!(matches!(
        on(&mut asking, &log("error", "")),
        RelayAction::Log(..)
    ));
    assert_eq!(on(&mut asking, &log("loud", "")), RelayAction::Ignore);
}

#[test]
fn server_requests_are_answered_immediately() {
    let mut relay = relay(Era::Modern, Era::Legacy, "");
    let ask = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":"s\u0031","method":"{method}"}}"#);
    let RelayAction::LocalReply(pong) = on(&mut relay, &ask("ping")) else {
        panic!("no answer");
    };
    assert_eq!(pong, r#"{"jsonrpc":"2.0","id":"s\u0031","result":{}}"#);
    let RelayAction::LocalReply(refused) = on(&mut relay, &ask("elicitation/create")) else {
        panic!("no answer");
    };
    assert_eq!(json(&refused)["error"]["code"], json!(-32601));
    // Modern servers may not send requests: one that does is refused, so that it does not wait.
    for client in [Era::Modern, Era::Legacy] {
        let mut modern = super::relay(client, Era::Modern, "");
        let RelayAction::LocalReply(refused) = on(&mut modern, &ask("elicitation/create")) else {
            panic!("no answer");
        };
        assert_eq!(json(&refused)["error"]["code"], json!(-32601));
    }
}

#[test]
fn only_messages_of_the_call_are_forwarded() {
    let mut relay = relay(Era::Legacy, Era::Legacy, r#""progressToken":1"#);
    for method in [
        "notifications/tools/list_changed",
        "notifications/resources/updated",
        "notifications/cancelled",
        "notifications/vendor/thing",
        "notifications/progress",
        "notifications/message",
    ] {
        let notice = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
        assert_eq!(on(&mut relay, &notice), RelayAction::Ignore, "{method}");
    }
    // A response to another request is ignored, and the relay continues.
    let other = r#"{"jsonrpc":"2.0","id":41,"result":{"secret":1}}"#;
    assert_eq!(on(&mut relay, other), RelayAction::Ignore);
    let ours = r#"{"jsonrpc":"2.0","id":42,"result":{}}"#;
    assert!(matches!(on(&mut relay, ours), RelayAction::Final(_)));
    assert!(relay.is_finished());
    assert_eq!(on(&mut relay, ours), RelayAction::Ignore);
    assert_eq!(on(&mut relay, &progress("42", "9")), RelayAction::Ignore);
}

#[test]
fn an_invalid_message_on_a_stream_ends_the_call() {
    let mut relay = relay(Era::Legacy, Era::Legacy, "");
    let RelayAction::Final(reply) = on(&mut relay, "{") else {
        panic!("went on");
    };
    assert_eq!(
        reply.outcome,
        CallOutcome::Failed(UpstreamFailure::Malformed)
    );
}
