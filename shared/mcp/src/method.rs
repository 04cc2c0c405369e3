//! Names of methods and of reserved `_meta` members.

/// Legacy: opens a session.
pub const INITIALIZE: &str = "initialize";
/// Legacy: confirms that the session is ready for use.
pub const INITIALIZED: &str = "notifications/initialized";
/// Legacy: checks that the peer is alive.
pub const PING: &str = "ping";
/// Modern: requests supported versions and capabilities.
pub const DISCOVER: &str = "server/discover";
/// Lists tools.
pub const TOOLS_LIST: &str = "tools/list";
/// Calls a tool.
pub const TOOLS_CALL: &str = "tools/call";
/// Lists resources.
pub const RESOURCES_LIST: &str = "resources/list";
/// Lists resource templates.
pub const RESOURCES_TEMPLATES_LIST: &str = "resources/templates/list";
/// Reads a resource.
pub const RESOURCES_READ: &str = "resources/read";
/// Legacy: subscribes to updates of a resource.
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
/// Legacy: cancels a subscription to a resource.
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
/// Lists prompts.
pub const PROMPTS_LIST: &str = "prompts/list";
/// Renders a prompt.
pub const PROMPTS_GET: &str = "prompts/get";
/// Completes an argument.
pub const COMPLETE: &str = "completion/complete";
/// Legacy: sets the log level of a session.
pub const SET_LEVEL: &str = "logging/setLevel";
/// Modern: opens a stream of change notifications.
pub const LISTEN: &str = "subscriptions/listen";
/// Modern: first message of the stream of `subscriptions/listen`.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Extension `tasks`: requests the state of a task.
pub const TASKS_GET: &str = "tasks/get";
/// Extension `tasks`: updates a task.
pub const TASKS_UPDATE: &str = "tasks/update";
/// Extension `tasks`: cancels a task.
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// Cancels a request.
pub const CANCELLED: &str = "notifications/cancelled";
/// Legacy: reports that a URL elicitation is complete.
pub const ELICITATION_COMPLETE: &str = "notifications/elicitation/complete";
/// Request of input of the user, form or URL.
pub const ELICITATION: &str = "elicitation/create";
/// Request to the model of the client.
pub const SAMPLING: &str = "sampling/createMessage";
/// Request for the roots of the client.
pub const ROOTS: &str = "roots/list";
/// Reports the progress of a request.
pub const PROGRESS: &str = "notifications/progress";
/// Log message.
pub const MESSAGE: &str = "notifications/message";
/// Reports that the list of tools changed.
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
/// Extension `tasks`: reports the state of a task.
pub const TASK_NOTIFICATION: &str = "notifications/tasks";
/// Reports that the list of prompts changed.
pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
/// Reports that a resource was updated.
pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
/// Reports that the list of resources changed.
pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";

/// `_meta`: protocol revision of a modern request.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta`: client capabilities of a modern request.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta`: name and version of the client of a modern request.
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta`: minimum severity of log messages for a modern request.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta`: name and version of the server of a modern result.
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// `_meta` of a tool result that a Toolgate proxy created because the tool did not answer: the kind of failure, one
/// word.
pub const META_FAILURE: &str = "toolgate/failure";
/// `_meta`: id of the listen request that a message belongs to.
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta`: token under which progress is reported.
pub const META_PROGRESS: &str = "progressToken";

/// Returns the member of `params` that a modern request repeats in `Mcp-Name`, or `None` if the method has none.
pub fn name_source(method: &str) -> Option<NameSource> {
    match method {
        TOOLS_CALL | PROMPTS_GET => Some(NameSource::Name),
        RESOURCES_READ => Some(NameSource::Uri),
        TASKS_GET | TASKS_UPDATE | TASKS_CANCEL => Some(NameSource::TaskId),
        _ => None,
    }
}

/// Member of `params` that is repeated in `Mcp-Name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// `name`.
    Name,
    /// `uri`.
    Uri,
    /// `taskId`.
    TaskId,
}
