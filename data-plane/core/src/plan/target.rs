//! Targets of calls: a tool, a prompt, a resource, a completion or a task. Each is one request to one server in which
//! one name is replaced by the server's own. They differ in the position of that name and in the form of a failure
//! response.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{headers::params::HeaderAnnotations, method};

use crate::{
    Grant, PromptView, ServerView, ToolView, plan::TaskTarget, view::shape::ReservedArguments,
};

/// Target of a call.
#[derive(Debug, Clone)]
pub enum RequestTarget {
    /// `tools/call`.
    Tool(Arc<ToolView>),
    /// `prompts/get`.
    Prompt(Arc<PromptView>),
    /// `resources/read`.
    Resource(ResourceTarget),
    /// `completion/complete`.
    Completion(CompletionTarget),
    /// `tasks/get`, `tasks/update` or `tasks/cancel`.
    Task(TaskTarget),
}

/// Resource of a server. It need not be listed: it may be an expansion of a template.
#[derive(Debug, Clone)]
pub struct ResourceTarget {
    /// Server that has the resource.
    pub server: Arc<ServerView>,
    /// URI in the client's request.
    pub exposed: Box<str>,
    /// The server's own URI of the resource.
    pub original: Box<str>,
    /// The server's own URI as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

/// Argument of a prompt or a template to complete.
#[derive(Debug, Clone)]
pub struct CompletionTarget {
    /// Server that has the prompt or the template.
    pub server: Arc<ServerView>,
    /// The server's own name or URI as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

impl RequestTarget {
    /// MCP method of the call.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Tool(_) => method::TOOLS_CALL,
            Self::Prompt(_) => method::PROMPTS_GET,
            Self::Resource(_) => method::RESOURCES_READ,
            Self::Completion(_) => method::COMPLETE,
            Self::Task(task) => task.method,
        }
    }

    /// Server that is called.
    pub fn server(&self) -> &Arc<ServerView> {
        match self {
            Self::Tool(tool) => &tool.server,
            Self::Prompt(prompt) => &prompt.server,
            Self::Resource(resource) => &resource.server,
            Self::Completion(completion) => &completion.server,
            Self::Task(task) => &task.tool.server,
        }
    }

    /// Value of the `Mcp-Name` header for a modern server: its own name, URI or id, for methods that have one.
    pub fn mcp_name(&self) -> Option<&str> {
        match self {
            Self::Tool(tool) => Some(&tool.original),
            Self::Prompt(prompt) => Some(&prompt.original),
            Self::Resource(resource) => Some(&resource.original),
            Self::Task(task) => Some(&task.original),
            Self::Completion(_) => None,
        }
    }

    /// Name or URI that the client uses, for methods that have one. For a task, the name of its tool.
    pub fn exposed_name(&self) -> Option<&str> {
        match self {
            Self::Tool(tool) => Some(&tool.exposed),
            Self::Prompt(prompt) => Some(&prompt.exposed),
            Self::Resource(resource) => Some(&resource.exposed),
            Self::Task(task) => Some(&task.tool.exposed),
            Self::Completion(_) => None,
        }
    }

    /// Returns `true` if this grant allows the call. Checked again when a client acts on a call that is running.
    pub fn is_granted(&self, grant: &Grant) -> bool {
        match self {
            Self::Tool(tool) => grant.allows_tool(&tool.exposed),
            Self::Task(task) => grant.allows_tool(&task.tool.exposed),
            Self::Prompt(_) | Self::Resource(_) | Self::Completion(_) => {
                grant.allows_prompts_and_resources()
            }
        }
    }

    /// Returns the tool of a tool call.
    pub const fn tool(&self) -> Option<&Arc<ToolView>> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::Prompt(_) | Self::Resource(_) | Self::Completion(_) | Self::Task(_) => None,
        }
    }

    /// Returns the task of a task request.
    pub const fn task(&self) -> Option<&TaskTarget> {
        match self {
            Self::Task(task) => Some(task),
            Self::Tool(_) | Self::Prompt(_) | Self::Resource(_) | Self::Completion(_) => None,
        }
    }

    /// Noun for the target, for use in error texts.
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::Resource(_) => "resource",
            Self::Completion(_) => "completion",
            Self::Task(_) => "task",
        }
    }

    /// Returns `true` if the server may request input, either before its response or, for a task, within it.
    pub const fn may_request_input(&self) -> bool {
        match self {
            Self::Tool(_) | Self::Prompt(_) | Self::Resource(_) | Self::Task(_) => true,
            Self::Completion(_) => false,
        }
    }

    /// JSON written at [`CallSpans::target_name`](super::CallSpans::target_name) in the request to the server.
    pub(crate) fn original_json(&self) -> &Bytes {
        match self {
            Self::Tool(tool) => &tool.original_json,
            Self::Prompt(prompt) => &prompt.original_json,
            Self::Resource(resource) => &resource.original_json,
            Self::Completion(completion) => &completion.original_json,
            Self::Task(task) => &task.original_json,
        }
    }

    /// Arguments that modern clients repeat in headers; tools only.
    pub(crate) fn header_annotations(&self) -> Option<&HeaderAnnotations> {
        self.tool().map(|tool| &tool.params)
    }

    /// Arguments that modern servers expect in headers; tools only.
    pub(crate) fn upstream_header_annotations(&self) -> Option<&HeaderAnnotations> {
        self.reserved_arguments()
            .map_or_else(|| self.header_annotations(), |own| Some(own.params()))
    }

    /// Arguments reserved by the operator; shaped tools only.
    pub(crate) fn reserved_arguments(&self) -> Option<&ReservedArguments> {
        self.tool()
            .and_then(|tool| tool.reserved_arguments.as_deref())
    }
}
