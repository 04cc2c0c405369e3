//! Comparison of member names without regard to case. JSON distinguishes such names, but some parsers (among them Go's
//! standard one) do not, and let the last one win. A message that contains both spellings can be read in two ways.

use crate::method;

/// Members of the root that are extracted.
pub(crate) const ROOT: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// Members of `params` that are extracted.
pub(crate) const PARAMS: &[&str] = &[
    "name",
    "uri",
    "taskId",
    "cursor",
    "arguments",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "level",
    "requestId",
    "progressToken",
    "notifications",
    "requestState",
    "inputResponses",
    "ref",
    "argument",
    "_meta",
];

/// Members of `params.ref` that are extracted.
pub(crate) const REFERENCE: &[&str] = &["type", "name", "uri"];

/// Members of `_meta` that are extracted.
pub(crate) const META: &[&str] = &[
    method::META_VERSION,
    method::META_CAPABILITIES,
    method::META_CLIENT,
    method::META_LOG_LEVEL,
    method::META_SUBSCRIPTION,
    method::META_PROGRESS,
    // Not extracted: set by the proxy only.
    method::META_SERVER,
    method::META_FAILURE,
    "traceparent",
    "tracestate",
    "baggage",
];

/// Returns `true` if `name` equals `known`, which is ASCII, under Unicode case folding.
fn equals_ignoring_case(name: &str, known: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    // The non-ASCII letters that fold to ASCII have more bytes than the letters they fold to.
    name.len() >= known.len() && name.chars().map(fold).eq(known.chars().map(fold))
}

/// Returns `true` if the name differs from one of `known`, which are ASCII, by case only. A parser that ignores case stores
/// the value of such a member under the known name, so that two parsers of a message see different values.
pub fn is_case_variant<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> bool {
    let mut known = known.into_iter();
    known.any(|known| name != known && equals_ignoring_case(name, known))
}

/// Returns `text` under Unicode case folding, for comparison only. Characters that fold to several are expanded.
pub fn folded(text: &str) -> String {
    // The lower-case letters of the upper-case letters also fold variants such as a final sigma.
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

fn fold(c: char) -> char {
    match c {
        '\u{131}' => 'i',
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests;
