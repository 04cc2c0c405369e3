//! Strings and ids of a frame, with the place where they were written.

use std::{borrow::Cow, fmt};

use crate::{scan::plain, splice::Span};

/// A JSON string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a> {
    /// Its value, unescaped. Borrowed where nothing was escaped.
    pub value: Cow<'a, str>,
    /// Where it was written, quotes included.
    pub span: Span,
}

/// A JSON-RPC id: the literal as written, so that type and exact value survive. `"1"` and `1` differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id<'a> {
    /// The literal: a string with its quotes, or an integer of any size.
    pub raw: &'a str,
    /// Where it was written.
    pub span: Span,
}

impl Text<'_> {
    /// Its value.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// Appends `value` as a JSON string literal.
pub(crate) fn quote_into(out: &mut Vec<u8>, value: &str) {
    if plain(value.as_bytes()) == value.len() {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(quote(value).as_bytes());
    }
}

/// `value` as a JSON string literal, quotes included. Escapes what must be escaped, and nothing else.
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    // Mostly there is nothing to escape.
    let (clean, rest) = value
        .split_at_checked(plain(value.as_bytes()))
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
