//! Metric labels with a bounded set of values, independent of what clients send.

use toolgate_data_core::rewrite::CallOutcome;
use toolgate_mcp::method;
use toolgate_model::CallEndKind;

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
    /// No method: the request was refused before its message was read. Not a label of a metric.
    pub(crate) const NONE: Self = Self("");
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

/// End of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestEnd {
    /// Kind of the end, for the record.
    pub(super) kind: CallEndKind,
    /// Error label; `None` if the request succeeded.
    pub(super) error: Option<&'static str>,
}

impl RequestEnd {
    /// End of a request that was answered without a call.
    pub(super) const ANSWERED: Self = Self {
        kind: CallEndKind::Answered,
        error: None,
    };

    /// Returns the end of a call.
    pub(super) fn of_call(outcome: CallOutcome) -> Self {
        let (kind, error) = match outcome {
            CallOutcome::Done => (CallEndKind::Answered, None),
            CallOutcome::InputRequired => (CallEndKind::InputRequired, None),
            CallOutcome::ToolError => (CallEndKind::ToolError, Some("tool_error")),
            CallOutcome::Error => (CallEndKind::RpcError, Some("rpc_error")),
            CallOutcome::Failed(failure) => (CallEndKind::Failed, Some(failure.kind())),
        };
        Self { kind, error }
    }

    /// Returns the reason of a failure or refusal, if the kind does not say it.
    pub(super) fn reason(self) -> &'static str {
        match self.kind {
            CallEndKind::Failed | CallEndKind::Refused => self.error.unwrap_or_default(),
            CallEndKind::Answered
            | CallEndKind::InputRequired
            | CallEndKind::ToolError
            | CallEndKind::RpcError
            | CallEndKind::Cancelled => "",
        }
    }
}
