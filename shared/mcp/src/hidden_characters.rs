//! Detection of characters that are invisible or change the reading direction. Text written with them reaches the model
//! but is not seen by the user reviewing it.

use serde_json::Value;

/// Returns `true` if a character is invisible, changes the text direction, or controls a terminal. Line breaks and tabs
/// do not count.
pub fn is_hidden(c: char) -> bool {
    let steers = c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    steers
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns `true` if a text contains a hidden character without a legitimate use. Joiners are legitimate in emoji and
/// many scripts, but not after an ASCII character.
pub fn contained_in(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let joins = matches!(c, '\u{200c}' | '\u{200d}') && !before.is_ascii();
        before = c;
        is_hidden(c) && !joins
    })
}

/// Returns `true` if any string of a JSON value, member names included, contains a hidden character.
pub fn contained_in_json(json: &[u8]) -> bool {
    serde_json::from_slice(json).is_ok_and(|value: Value| contained_in_value(&value))
}

fn contained_in_value(value: &Value) -> bool {
    match value {
        Value::String(text) => contained_in(text),
        Value::Array(all) => all.iter().any(contained_in_value),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| contained_in(name) || contained_in_value(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
