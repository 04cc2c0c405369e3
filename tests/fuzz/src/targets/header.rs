//! Header values: encoded text decodes to itself, and decoded text encodes to a value that decodes to the same text.

use toolgate_mcp::headers::{decode, encode};

/// Runs the target.
pub fn run(bytes: &[u8]) {
    if let Some(text) = decode(bytes) {
        let again = encode(&text);
        assert_eq!(decode(again.as_bytes()).as_deref(), Some(&*text));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let encoded = encode(text);
    assert!(
        encoded.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
        "only what may stand in a header"
    );
    assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(text));
}
