//! Names of methods and of reserved `_meta` members.

/// Legacy: opens a session.
pub const INITIALIZE: &str = "initialize";
/// Legacy: the session may be used.
pub const INITIALIZED: &str = "notifications/initialized";
/// Legacy: are you there.
pub const PING: &str = "ping";
/// Modern: what can you do.
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
/// Legacy: watches a resource.
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
/// Legacy: stops watching a resource.
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
/// Lists prompts.
pub const PROMPTS_LIST: &str = "prompts/list";
/// Fills in a prompt.
pub const PROMPTS_GET: &str = "prompts/get";
/// Completes an argument.
pub const COMPLETE: &str = "completion/complete";
/// Legacy: sets the log level of a session.
pub const SET_LEVEL: &str = "logging/setLevel";
/// Modern: a stream of changes.
pub const LISTEN: &str = "subscriptions/listen";
/// Modern: first message of that stream.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Extension `tasks`.
pub const TASKS_GET: &str = "tasks/get";
/// Extension `tasks`.
pub const TASKS_UPDATE: &str = "tasks/update";
/// Extension `tasks`.
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// A request is no longer wanted.
pub const CANCELLED: &str = "notifications/cancelled";
/// Legacy: somebody has been at the URL of an elicitation.
pub const ELICITED: &str = "notifications/elicitation/complete";
/// How far a request is.
pub const PROGRESS: &str = "notifications/progress";
/// A log message.
pub const MESSAGE: &str = "notifications/message";
/// The tools changed.
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
/// Extension `tasks`: how far a task has come.
pub const TASK_NEWS: &str = "notifications/tasks";
/// The prompts changed.
pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
/// A resource was updated.
pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
/// The resources changed.
pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";

/// `_meta`: the revision that a modern request speaks.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta`: what the client of a modern request can do.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta`: what the client of a modern request calls itself.
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta`: the least severe log message that a modern request wants.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta`: what the server of a modern result calls itself.
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// `_meta` of a tool result that a gateway of ours made because no tool answered: the kind of the failure, a word.
pub const META_FAILURE: &str = "toolgate/failure";
/// `_meta`: the listen request that a message belongs to.
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta`: what progress is reported under.
pub const META_PROGRESS: &str = "progressToken";

/// Which member of `params` a modern request repeats in `Mcp-Name`, if its method has one.
pub fn named_by(method: &str) -> Option<NamedBy> {
    match method {
        TOOLS_CALL | PROMPTS_GET => Some(NamedBy::Name),
        RESOURCES_READ => Some(NamedBy::Uri),
        TASKS_GET | TASKS_UPDATE | TASKS_CANCEL => Some(NamedBy::TaskId),
        _ => None,
    }
}

/// A member of `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// `name`.
    Name,
    /// `uri`.
    Uri,
    /// `taskId`.
    TaskId,
}
