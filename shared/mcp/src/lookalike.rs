//! Names that differ only in case. JSON has them apart; some readers (Go's standard one, for a start) do not, and let
//! the last one win. A message in which such a name stands beside the real one has two readings.

use crate::method;

/// Members of the root that are read.
pub(crate) const ROOT: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// Members of `params` that are read.
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

/// Members of `params.ref` that are read.
pub(crate) const REFERENCE: &[&str] = &["type", "name", "uri"];

/// Members of `_meta` that are read.
pub(crate) const META: &[&str] = &[
    method::META_VERSION,
    method::META_CAPABILITIES,
    method::META_CLIENT,
    method::META_LOG_LEVEL,
    method::META_SUBSCRIPTION,
    method::META_PROGRESS,
    "traceparent",
    "tracestate",
    "baggage",
];

/// Whether a reader who folds case as Unicode does takes `name` for `known`, which is ASCII.
pub(crate) fn same_but_for_case(name: &str, known: &str) -> bool {
    // Both letters that fold into ASCII have more bytes than what they fold to.
    name.len() >= known.len() && name.chars().map(fold).eq(known.chars().map(fold))
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests;
