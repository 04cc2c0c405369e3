//! Metric labels with a bounded set of values, independent of what clients send.

use toolgate_data_core::rewrite::CallOutcome;
use toolgate_mcp::method;

/// Label of a request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MethodLabel(&'static str);

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

impl MethodLabel {
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
pub(crate) fn error_label(outcome: CallOutcome) -> Option<&'static str> {
    match outcome {
        CallOutcome::Done | CallOutcome::InputRequired => None,
        CallOutcome::ToolError => Some("tool_error"),
        CallOutcome::Error => Some("rpc_error"),
        CallOutcome::Failed(failure) => Some(failure.kind()),
    }
}
