//! What a call is for: a tool, a prompt, a resource, a completion or a task. All five are one request to one server, with one
//! name in it that is the server's instead of ours; they differ in where it stands and in how a failure is told.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{headers::params::Annotations, method};

use crate::{PromptView, ServerView, ToolView, plan::TaskTarget, view::shape::Arguments};

/// What a call is for.
#[derive(Debug, Clone)]
pub enum Target {
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

/// A resource of a server. There need be no list that has it: it may be one of a template.
#[derive(Debug, Clone)]
pub struct ResourceTarget {
    /// The server that has it.
    pub server: Arc<ServerView>,
    /// The URI that the client gave.
    pub exposed: Box<str>,
    /// The server's own URI for it.
    pub original: Box<str>,
    /// The server's own URI as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

/// An argument of a prompt or a template, to be completed.
#[derive(Debug, Clone)]
pub struct CompletionTarget {
    /// The server that has the prompt or the template.
    pub server: Arc<ServerView>,
    /// Its own name or URI as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

impl Target {
    /// The method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Tool(_) => method::TOOLS_CALL,
            Self::Prompt(_) => method::PROMPTS_GET,
            Self::Resource(_) => method::RESOURCES_READ,
            Self::Completion(_) => method::COMPLETE,
            Self::Task(task) => task.method,
        }
    }

    /// The server.
    pub fn server(&self) -> &Arc<ServerView> {
        match self {
            Self::Tool(tool) => &tool.server,
            Self::Prompt(prompt) => &prompt.server,
            Self::Resource(resource) => &resource.server,
            Self::Completion(completion) => &completion.server,
            Self::Task(task) => &task.tool.server,
        }
    }

    /// What a modern server is told in `Mcp-Name`: its own name, URI or id, where the method has one.
    pub fn mcp_name(&self) -> Option<&str> {
        match self {
            Self::Tool(tool) => Some(&tool.original),
            Self::Prompt(prompt) => Some(&prompt.original),
            Self::Resource(resource) => Some(&resource.original),
            Self::Task(task) => Some(&task.original),
            Self::Completion(_) => None,
        }
    }

    /// The name or URI that the client knows, where the method has one; of a task, that of its tool.
    pub fn exposed(&self) -> Option<&str> {
        match self {
            Self::Tool(tool) => Some(&tool.exposed),
            Self::Prompt(prompt) => Some(&prompt.exposed),
            Self::Resource(resource) => Some(&resource.exposed),
            Self::Task(task) => Some(&task.tool.exposed),
            Self::Completion(_) => None,
        }
    }

    /// The tool, if it is one.
    pub const fn tool(&self) -> Option<&Arc<ToolView>> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::Prompt(_) | Self::Resource(_) | Self::Completion(_) | Self::Task(_) => None,
        }
    }

    /// The task, if it is one.
    pub const fn task(&self) -> Option<&TaskTarget> {
        match self {
            Self::Task(task) => Some(task),
            Self::Tool(_) | Self::Prompt(_) | Self::Resource(_) | Self::Completion(_) => None,
        }
    }

    /// A word for it, in texts for people and models.
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::Resource(_) => "resource",
            Self::Completion(_) => "completion",
            Self::Task(_) => "task",
        }
    }

    /// Whether the server may ask for input, before it answers or, of a task, within its answer.
    pub const fn may_ask(&self) -> bool {
        match self {
            Self::Tool(_) | Self::Prompt(_) | Self::Resource(_) | Self::Task(_) => true,
            Self::Completion(_) => false,
        }
    }

    /// What stands at [`CallSpans::subject`](super::CallSpans::subject) towards the server, as JSON.
    pub(crate) fn original_json(&self) -> &Bytes {
        match self {
            Self::Tool(tool) => &tool.original_json,
            Self::Prompt(prompt) => &prompt.original_json,
            Self::Resource(resource) => &resource.original_json,
            Self::Completion(completion) => &completion.original_json,
            Self::Task(task) => &task.original_json,
        }
    }

    /// Arguments that modern clients repeat in headers: of tools only.
    pub(crate) fn params(&self) -> Option<&Annotations> {
        self.tool().map(|tool| &tool.params)
    }

    /// Arguments that modern servers want repeated in headers: of tools only.
    pub(crate) fn mirrored(&self) -> Option<&Annotations> {
        self.arguments()
            .map_or_else(|| self.params(), |own| Some(own.params()))
    }

    /// Arguments that are not for callers to give: of shaped tools only.
    pub(crate) fn arguments(&self) -> Option<&Arguments> {
        self.tool().and_then(|tool| tool.arguments.as_deref())
    }
}
