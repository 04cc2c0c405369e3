//! Escapes in YAML. The writer leaves many deceptive characters as they are, so a string with one of them is written as a
//! placeholder first, which is then replaced by a double-quoted string with escapes.

use std::fmt::Write as _;

use serde_json::Value;
use toolgate_mcp::deceptive_text;

/// Placeholders of one document.
pub struct Placeholders {
    /// Start of every placeholder. It occurs nowhere else in the document.
    prefix: String,
    strings: Vec<String>,
}

impl Placeholders {
    /// Creates placeholders that do not occur in `text`, the document without them.
    pub fn new(text: &str) -> Self {
        let mut prefix = "escaped".to_owned();
        while text.contains(&prefix) {
            prefix.push('x');
        }
        Self {
            prefix,
            strings: Vec::new(),
        }
    }

    /// Returns the value with a placeholder for each string that contains a deceptive character, names included.
    pub fn replace(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.string(text)),
            Value::Array(items) => items.iter().map(|item| self.replace(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (self.string(name), self.replace(value)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// Returns the document with the double-quoted strings in place of their placeholders.
    pub fn resolve(&self, text: &str) -> String {
        let mut parts = text.split(self.prefix.as_str());
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = part.split_once(END).unwrap_or((part, ""));
            let string = number
                .parse()
                .ok()
                .and_then(|at: usize| self.strings.get(at));
            out.push_str(&double_quoted(string.map_or("", String::as_str)));
            out.push_str(rest);
        }
        out
    }

    fn string(&mut self, text: &str) -> String {
        if !has_escapes(text) {
            return text.to_owned();
        }
        let placeholder = format!("{}{}{END}", self.prefix, self.strings.len());
        self.strings.push(text.to_owned());
        placeholder
    }
}

/// End of the number in a placeholder.
const END: char = 'e';

/// Returns `true` if a text has a character that is not written as it is.
pub fn has_escapes(text: &str) -> bool {
    text.contains('\r') || deceptive_text::contained_in(text)
}

/// Returns a double-quoted scalar of YAML 1.2.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    out.push('"');
    for (c, deceives) in deceptive_text::classified(text) {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if !deceives => out.push(c),
            // Writing to a string does not fail.
            _ if u32::from(c) > 0xffff => {
                let _infallible = write!(out, "\\U{:08X}", u32::from(c));
            }
            _ => {
                let _infallible = write!(out, "\\u{:04X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}
