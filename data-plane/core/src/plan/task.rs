//! What is asked of a task that a call has become. It is opened, and asked for again whether its sender may have it: the
//! tool must still be theirs to call.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use toolgate_mcp::{Envelope, envelope::Params, method, text::quote};

use crate::{
    Refusal, ToolView,
    plan::{
        ClientSide, Plan, PlanInput, Target, call,
        find::{Found, named},
    },
    seal::Binding,
    session_id::ClientCapabilities,
    task::{EXTENSION, TaskId},
};

/// A task of a server.
#[derive(Debug, Clone)]
pub struct TaskTarget {
    /// The tool whose call it is.
    pub tool: Arc<ToolView>,
    /// One of the methods of the extension.
    pub method: &'static str,
    /// The id that the client gave.
    pub exposed: Box<str>,
    /// The server's own id for it.
    pub original: Box<str>,
    /// The server's own id as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

/// A request of the extension; none if it is not, or if no server here has tasks.
pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientSide,
) -> Option<Result<Plan, Refusal>> {
    known(envelope.method())?;
    if input.gateway.offers.tasks.is_empty() {
        return None;
    }
    if !client.capabilities().has(ClientCapabilities::TASKS) {
        let required = json!({ "extensions": { EXTENSION: {} } });
        return Some(Err(Refusal::MissingCapability(required)));
    }
    let call = call::plan(input, envelope, client, None);
    Some(call.map(|call| Plan::Call(Arc::new(call))))
}

/// The method as it is labelled, if it is of the extension.
pub(super) fn known(asked: &str) -> Option<&'static str> {
    let all = [
        method::TASKS_GET,
        method::TASKS_UPDATE,
        method::TASKS_CANCEL,
    ];
    all.into_iter().find(|known| *known == asked)
}

/// The task that is asked of. Unknown, foreign, forged and no longer granted are one answer.
pub(super) fn find(
    input: &PlanInput<'_>,
    method: &'static str,
    params: &Params<'_>,
) -> Result<Found, Refusal> {
    let text = named(&params.task_id, "`taskId`", "task")?;
    let unknown = || Refusal::InvalidParams("this task is not known".into());
    let binding = Binding {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    };
    let id = TaskId::open(input.sealer, binding, text.as_str()).ok_or_else(unknown)?;
    let tool = input.gateway.tool(&id.tool).filter(|tool| {
        let owner = &tool.server.name.id;
        *owner == id.server
            && input.gateway.offers.tasks.contains(owner)
            && input.caller.grant().allows(&id.tool)
    });
    let target = TaskTarget {
        tool: Arc::clone(tool.ok_or_else(unknown)?),
        method,
        exposed: text.as_str().into(),
        original_json: quote(&id.original).into(),
        original: id.original,
    };
    Ok(Found {
        target: Target::Task(target),
        subject: text.span,
    })
}
