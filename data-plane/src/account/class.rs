//! Metric labels with a bounded set of values, independent of what clients send.

use toolgate_data_core::rewrite::Outcome;
use toolgate_mcp::method;

/// Label of a request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Method(&'static str);

/// Methods with a label of their own.
const KNOWN: [&str; 20] = [
    method::TOOLS_CALL,
    method::TOOLS_LIST,
    method::PROMPTS_GET,
    method::PROMPTS_LIST,
    method::RESOURCES_READ,
    method::RESOURCES_LIST,
    method::RESOURCES_TEMPLATES_LIST,
    method::RESOURCES_SUBSCRIBE,
    method::RESOURCES_UNSUBSCRIBE,
    method::COMPLETE,
    method::INITIALIZE,
    method::INITIALIZED,
    method::PING,
    method::DISCOVER,
    method::SET_LEVEL,
    method::CANCELLED,
    method::LISTEN,
    method::TASKS_GET,
    method::TASKS_UPDATE,
    method::TASKS_CANCEL,
];

impl Method {
    /// GET: opens the stream of a session.
    pub(crate) const STREAM: Self = Self("GET");
    /// DELETE: terminates a session.
    pub(crate) const END: Self = Self("DELETE");
    /// Any other method.
    pub(crate) const OTHER: Self = Self("_OTHER");

    /// Returns the label of a JSON-RPC method.
    pub(crate) fn of(method: &str) -> Self {
        let known = KNOWN.into_iter().find(|known| *known == method);
        known.map_or(Self::OTHER, Self)
    }

    /// Returns the label's value.
    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Returns the error label of a call, or `None` if it succeeded.
pub(crate) fn error_of(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Done | Outcome::InputRequired => None,
        Outcome::ToolError => Some("tool_error"),
        Outcome::Error => Some("rpc_error"),
        Outcome::Failed(failure) => Some(failure.kind()),
    }
}
