//! What is asked of a task that a call has become. It is opened, and asked for again whether its sender may have it: the
//! tool must still be theirs to call.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use toolgate_mcp::{Envelope, Span, envelope::Params, method, text::quote};

use crate::{
    GatewayView, Grant, Refusal, ToolView,
    plan::{
        CallPlan, CallSpans, ClientSide, Plan, PlanInput, Target, call,
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
    let target = open(input, method, text.as_str());
    let target = target.ok_or_else(|| Refusal::InvalidParams("this task is not known".into()))?;
    Ok(Found {
        target: Target::Task(target),
        subject: text.span,
    })
}

fn open(input: &PlanInput<'_>, method: &'static str, text: &str) -> Option<TaskTarget> {
    let binding = Binding {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    };
    let id = TaskId::open(input.sealer, binding, text)?;
    let tool = input.gateway.tool(&id.tool).filter(|tool| {
        let owner = &tool.server.name.id;
        *owner == id.server && may_follow(input.gateway, input.caller.grant(), &tool.exposed)
    });
    Some(TaskTarget {
        tool: Arc::clone(tool?),
        method,
        exposed: text.into(),
        original_json: quote(&id.original).into(),
        original: id.original,
    })
}

/// Whether tasks of this tool, by its exposed name, may be followed by who has this grant.
pub fn may_follow(gateway: &GatewayView, grant: &Grant, tool: &str) -> bool {
    let owner = gateway.tool(tool).map(|tool| &tool.server.name.id);
    owner.is_some_and(|owner| gateway.offers.tasks.contains(owner)) && grant.allows(tool)
}

/// A task that its client wants to hear of: a call that asks how far it is, and is never made. What the server tells by
/// itself is shown as the answer to it would be.
pub(super) fn followed(
    input: &PlanInput<'_>,
    id: &str,
    client: ClientSide,
) -> Option<Arc<CallPlan>> {
    if !client.capabilities().has(ClientCapabilities::TASKS) {
        return None;
    }
    let nowhere = Span::new(0, 0);
    let target = Target::Task(open(input, method::TASKS_GET, id)?);
    Some(Arc::new(CallPlan {
        gateway: Arc::clone(input.gateway),
        declared: call::declared(input.gateway, target.server(), client),
        target,
        client,
        id: "0".into(),
        progress: None,
        log_level: None,
        trace: None,
        retry: None,
        returned: None,
        visited: None,
        tasks: None,
        spans: CallSpans {
            id: nowhere,
            params: nowhere,
            subject: nowhere,
            arguments: None,
            around: None,
            meta: None,
        },
    }))
}

impl CallPlan {
    /// A task that is followed, at the gateway as it is now: what its server may ask of the client may be otherwise. None
    /// if who has this grant may follow it no more.
    pub fn followed_at(
        self: &Arc<Self>,
        gateway: &Arc<GatewayView>,
        grant: &Grant,
    ) -> Option<Arc<Self>> {
        let task = self.target.task()?;
        let tool = gateway.tool(&task.tool.exposed)?;
        if tool.server.name != task.tool.server.name
            || !may_follow(gateway, grant, &task.tool.exposed)
        {
            return None;
        }
        if Arc::ptr_eq(gateway, &self.gateway) {
            return Some(Arc::clone(self));
        }
        let mut now = (**self).clone();
        now.gateway = Arc::clone(gateway);
        now.target = Target::Task(TaskTarget {
            tool: Arc::clone(tool),
            ..task.clone()
        });
        now.declared = call::declared(gateway, now.target.server(), now.client);
        Some(Arc::new(now))
    }
}
