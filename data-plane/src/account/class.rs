//! Few words for many things: labels of metrics have a bound, whatever clients send.

use toolgate_data_core::rewrite::Outcome;
use toolgate_mcp::method;

/// What was asked, as it is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Method(&'static str);

/// Every method with a label of its own.
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
    /// GET: the stream of a session.
    pub(crate) const STREAM: Self = Self("GET");
    /// DELETE: the end of a session.
    pub(crate) const END: Self = Self("DELETE");
    /// Anything else.
    pub(crate) const OTHER: Self = Self("_OTHER");

    /// Of a message.
    pub(crate) fn of(method: &str) -> Self {
        let known = KNOWN.into_iter().find(|known| *known == method);
        known.map_or(Self::OTHER, Self)
    }

    /// The label.
    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The label of a call that did not go well.
pub(crate) fn error_of(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Done | Outcome::InputRequired => None,
        Outcome::ToolError => Some("tool_error"),
        Outcome::Error => Some("rpc_error"),
        Outcome::Failed(failure) => Some(failure.kind()),
    }
}
