//! A call within the arguments of another: accepted calls read the same in `serde_json`, and their spans are relative
//! to the frame around them. (OV-05: policy computed on one reading and bytes forwarded in another.)

use serde_json::Value;
use toolgate_mcp::{ByteSpan, nested_call};

/// Frame around the nested call.
const FRAME_PREFIX: &[u8] = br#"{"arguments":"#;
const FRAME_SUFFIX: &[u8] = b"}";

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let frame = [FRAME_PREFIX, bytes, FRAME_SUFFIX].concat();
    let span = ByteSpan::new(FRAME_PREFIX.len(), FRAME_PREFIX.len() + bytes.len());
    let Some(nested) = nested_call::read(&frame, span) else {
        return;
    };
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        // The only accepted input that `serde_json` rejects: numbers beyond a double, which are not parsed.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) => panic!("accepted, but not JSON: {error}"),
    };
    let members = value.as_object().unwrap();
    let name = nested.name.as_ref();
    let theirs = members.get("name").and_then(Value::as_str);
    assert_eq!(name.map(|name| name.as_str()), theirs, "the name");
    let written = name.map(|name| serde_json::from_slice::<Value>(name.span.of(&frame)).unwrap());
    assert_eq!(
        written.as_ref().and_then(Value::as_str),
        theirs,
        "its place"
    );
    let arguments = nested.arguments.map(|span| span.of(&frame));
    let ours = arguments.map(|ours| serde_json::from_slice::<Value>(ours).unwrap());
    let theirs = members.get("arguments").filter(|theirs| theirs.is_object());
    assert_eq!(ours.as_ref(), theirs, "the arguments");
    let other = |name: &&String| !matches!(name.as_str(), "name" | "arguments");
    assert_eq!(
        nested.unknown.is_some(),
        members.keys().any(|name| other(&name))
    );
    if let Some(unknown) = &nested.unknown {
        assert!(members.contains_key(&**unknown), "{unknown}");
    }
    for (member, read) in [
        ("name", name.is_some()),
        ("arguments", nested.arguments.is_some()),
    ] {
        let is_there = members.get(member).is_some_and(|value| !value.is_null());
        assert!(read || !is_there || nested.mistyped.is_some(), "{member}");
    }
}
