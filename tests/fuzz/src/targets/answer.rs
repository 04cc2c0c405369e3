//! Messages of a server: accepted messages read the same in `serde_json`, and replacing the id changes nothing else.

use bytes::Bytes;
use serde_json::Value;
use toolgate_mcp::{
    FrameLimits, ServerMessage,
    server_message::{ResultMembers, ServerMessageBody, replace_id, scan},
};

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let readdressed = replace_id(
        &Bytes::copy_from_slice(bytes),
        "77",
        &FrameLimits::SERVER_MESSAGE,
    );
    let Ok(answer) = scan(bytes, &FrameLimits::SERVER_MESSAGE) else {
        assert_eq!(readdressed, None, "what is no message has no id");
        return;
    };
    let mut value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        // The only accepted input that `serde_json` rejects: numbers beyond a double and unpaired surrogates, neither of
        // which are parsed.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) if error.to_string().contains("hex escape") => return,
        Err(error) => panic!("accepted, but not JSON: {error}"),
    };
    let id = answer
        .id
        .map(|id| serde_json::from_str::<Value>(id.raw).unwrap());
    let theirs = value.get("id").filter(|id| !id.is_null());
    assert_eq!(id.as_ref(), theirs, "the id");
    match &answer.body {
        ServerMessageBody::Result(result) => assert_same_result(&answer, result, &value["result"]),
        ServerMessageBody::Error(error) => {
            let ours: Value = serde_json::from_slice(answer.slice(*error)).unwrap();
            assert_eq!(ours, value["error"], "the error");
        }
        ServerMessageBody::Notification { method, .. }
        | ServerMessageBody::Request { method, .. } => {
            assert_eq!(
                value["method"].as_str(),
                Some(method.as_str()),
                "the method"
            );
        }
    }
    assert_eq!(readdressed.is_some(), id.is_some());
    if let Some(readdressed) = readdressed {
        value["id"] = Value::from(77);
        let ours: Value = serde_json::from_slice(&readdressed).unwrap();
        assert_eq!(ours, value, "only the id is another");
    }
}

fn assert_same_result(answer: &ServerMessage<'_>, ours: &ResultMembers<'_>, theirs: &Value) {
    let whole: Value = serde_json::from_slice(answer.slice(ours.span)).unwrap();
    assert_eq!(&whole, theirs, "its place");
    for (name, text) in [
        ("resultType", &ours.result_type),
        ("nextCursor", &ours.next_cursor),
        ("requestState", &ours.request_state),
    ] {
        let text = text.as_ref().map(|text| text.as_str());
        assert_eq!(text, theirs[name].as_str(), "{name}");
    }
    assert_eq!(
        ours.is_error,
        theirs["isError"] == true,
        "whether it failed"
    );
    let places = [
        ("structuredContent", ours.structured.map(|(span, _)| span)),
        ("inputRequests", ours.input_requests),
    ];
    for (name, span) in places {
        if let Some(span) = span {
            let part: Value = serde_json::from_slice(answer.slice(span)).unwrap();
            assert_eq!(part, theirs[name], "{name}");
        }
    }
    if let Some((_, object)) = ours.structured {
        assert_eq!(object, theirs["structuredContent"].is_object());
    }
}
