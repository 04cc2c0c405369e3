//! Frames of a client: accepted frames read the same in `serde_json` and in the parser of rmcp, and splicing changes
//! only the named members. (OV-05: policy computed on one reading and bytes forwarded in another.)

use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage};
use serde_json::{Value, json};
use toolgate_mcp::{Envelope, FrameLimits, MessageKind, envelope, splice};

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let Ok(frame) = envelope::parse(bytes, &FrameLimits::REQUEST) else {
        return;
    };
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        // The only accepted input that `serde_json` rejects: numbers beyond a double, which are not parsed.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) => panic!("accepted, but not JSON: {error}"),
    };
    assert!(value.is_object(), "a frame is an object");
    assert_same_reading(&frame, &value);
    assert_rmcp_agrees(&frame, bytes);
    check_splicing(&frame, &value);
}

fn assert_same_reading(frame: &Envelope<'_>, value: &Value) {
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let ours = frame
        .method
        .as_ref()
        .map(|method| method.as_str().to_owned());
    assert_eq!(ours, text("/method"));
    let id = frame
        .raw_id()
        .map(|id| serde_json::from_str::<Value>(id).unwrap());
    assert_eq!(id.as_ref(), value.get("id"), "the id");
    let Some(params) = &frame.params else {
        return;
    };
    for (name, ours) in [
        ("name", &params.name),
        ("uri", &params.uri),
        ("cursor", &params.cursor),
        ("taskId", &params.task_id),
        ("requestState", &params.request_state),
    ] {
        let ours = ours.as_ref().map(|ours| ours.as_str().to_owned());
        assert_eq!(ours, text(&format!("/params/{name}")), "{name}");
    }
    if let Some(span) = params.arguments {
        let ours: Value = serde_json::from_slice(frame.slice(span)).unwrap();
        assert_eq!(Some(&ours), value.pointer("/params/arguments"));
    }
}

/// Typed models drop unknown members; known members must be equal.
fn assert_rmcp_agrees(frame: &Envelope<'_>, bytes: &[u8]) {
    let Ok(JsonRpcMessage::Request(theirs)) = serde_json::from_slice::<ClientJsonRpcMessage>(bytes)
    else {
        return;
    };
    assert_eq!(frame.kind, MessageKind::Request, "rmcp reads a request");
    let id = frame
        .raw_id()
        .map(|id| serde_json::from_str::<Value>(id).unwrap());
    let by_rmcp = serde_json::to_value(&theirs.id).ok();
    // `-0` is a zero in one reading and a negative zero in the other; the gateway sends back the original text.
    let zero = |id: &Option<Value>| id.as_ref().and_then(Value::as_f64) == Some(0.0);
    assert!(
        id == by_rmcp || zero(&id) && zero(&by_rmcp),
        "{id:?} is {by_rmcp:?} by rmcp"
    );
    let method = serde_json::to_value(&theirs.request).unwrap();
    let method = method
        .get("method")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let Some(method) = method {
        assert_eq!(frame.method(), method, "the method by rmcp");
    }
}

fn check_splicing(frame: &Envelope<'_>, before: &Value) {
    let Some(edit) = frame.with_id(&b"4711"[..]) else {
        return;
    };
    let after = splice(frame.source, vec![edit]).unwrap();
    let after: Value = serde_json::from_slice(&after).unwrap();
    let mut expected = before.clone();
    expected["id"] = json!(4711);
    assert_eq!(after, expected, "only the id changed");
}
