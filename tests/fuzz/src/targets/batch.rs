//! Arrays of messages: split as `serde_json` splits them, within their bound; an array is never one message.

use serde_json::Value;
use toolgate_mcp::{FrameLimits, batch, envelope};

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let Ok(members) = batch::split(bytes, &FrameLimits::REQUEST) else {
        return;
    };
    assert!(batch::is_array(bytes), "split, but no array");
    assert!((1..=batch::MAX_MESSAGES).contains(&members.len()));
    assert!(envelope::parse(bytes, &FrameLimits::REQUEST).is_err());
    let whole: Value = match serde_json::from_slice(bytes) {
        Ok(whole) => whole,
        // As in a frame: numbers beyond a double are not parsed.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) => panic!("accepted, but not JSON: {error}"),
    };
    let ours = members
        .iter()
        .map(|span| serde_json::from_slice(span.of(bytes)).unwrap());
    assert_eq!(Value::Array(ours.collect()), whole);
}
