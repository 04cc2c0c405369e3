//! JSON strings and JSON-RPC ids of a frame, with their spans.

use std::{borrow::Cow, fmt};

use crate::{scan::string::plain_prefix_len, splice::ByteSpan};

/// JSON string of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonString<'a> {
    /// Value, unescaped. Borrowed if it has no escapes.
    pub value: Cow<'a, str>,
    /// Span of the literal, quotes included.
    pub span: ByteSpan,
}

/// JSON-RPC id, kept as the literal that was written so that its type and exact value are preserved. `"1"` and `1`
/// differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JsonRpcId<'a> {
    /// Literal: a string with its quotes, or an integer of any size.
    pub raw: &'a str,
    /// Span of the literal.
    pub span: ByteSpan,
}

impl JsonString<'_> {
    /// Returns the value.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl fmt::Display for JsonRpcId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// Appends `value` as a JSON string literal.
pub(crate) fn quote_into(out: &mut Vec<u8>, value: &str) {
    if plain_prefix_len(value.as_bytes()) == value.len() {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(quote(value).as_bytes());
    }
}

/// Returns JSON with each escape of an unpaired surrogate, which is no character, replaced by that of U+FFFD.
pub(crate) fn without_lone_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    const HIGH: std::ops::Range<u32> = 0xd800..0xdc00;
    const LOW: std::ops::Range<u32> = 0xdc00..0xe000;
    let unit = |at: usize| {
        let escape = json
            .get(at..at + 6)
            .filter(|escape| escape.starts_with(b"\\u"))?;
        let digits = std::str::from_utf8(escape.get(2..)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let step = match (byte, unit(at)) {
            (b'\\', Some(high)) if HIGH.contains(&high) => {
                match unit(at + 6).filter(|low| LOW.contains(low)) {
                    Some(_low) => 12,
                    None => 0,
                }
            }
            (b'\\', Some(low)) if LOW.contains(&low) => 0,
            (b'\\', Some(_character)) => 6,
            (b'\\', None) => 2,
            _ => 1,
        };
        if step == 0 {
            let out = out.get_or_insert_with(|| json.get(..at).unwrap_or_default().to_vec());
            out.extend_from_slice(b"\\ufffd");
            at += 6;
            continue;
        }
        let end = (at + step).min(json.len());
        if let (Some(out), Some(kept)) = (&mut out, json.get(at..end)) {
            out.extend_from_slice(kept);
        }
        at = end;
    }
    out.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Returns `value` as a JSON string literal, quotes included. Escapes only what JSON requires to be escaped.
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    // Most strings contain nothing to escape.
    let (clean, rest) = value
        .split_at_checked(plain_prefix_len(value.as_bytes()))
        .unwrap_or(("", value));
    out.push_str(clean);
    for c in rest.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // Two hexadecimal digits are enough below 0x20.
                let hex = |n: u32| char::from_digit(n, 16).unwrap_or('0');
                out.push_str("\\u00");
                out.push(hex(u32::from(c) >> 4));
                out.push(hex(u32::from(c) & 15));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
