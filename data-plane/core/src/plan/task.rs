//! Requests about tasks that earlier calls became. The task id is opened and access is checked again: the caller must
//! still be allowed to call the task's tool.

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

/// Task of a server.
#[derive(Debug, Clone)]
pub struct TaskTarget {
    /// Tool whose call became the task.
    pub tool: Arc<ToolView>,
    /// Method of the tasks extension.
    pub method: &'static str,
    /// Task id in the client's request.
    pub exposed: Box<str>,
    /// The server's own task id.
    pub original: Box<str>,
    /// The server's own task id as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
}

/// Plans a request of the tasks extension. Returns `None` for other methods, and if no server of the gateway supports
/// tasks.
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

/// Returns the static name of a method of the extension, or `None` for other methods.
pub(super) fn known(asked: &str) -> Option<&'static str> {
    let all = [
        method::TASKS_GET,
        method::TASKS_UPDATE,
        method::TASKS_CANCEL,
    ];
    all.into_iter().find(|known| *known == asked)
}

/// Finds the task of the request. Unknown, foreign, forged and no longer granted tasks get the same refusal.
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

/// Returns `true` if this grant allows access to tasks of the tool with this exposed name.
pub fn may_follow(gateway: &GatewayView, grant: &Grant, tool: &str) -> bool {
    let owner = gateway.tool(tool).map(|tool| &tool.server.name.id);
    owner.is_some_and(|owner| gateway.offers.tasks.contains(owner)) && grant.allows(tool)
}

/// Plans a task that the client subscribes to, as a `tasks/get` call that is never sent. Status notifications of the
/// server are rewritten like responses to that call.
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
    /// Returns the plan of a subscribed task for a newer view of its gateway, in which the server's permitted requests
    /// may differ. Returns `None` if the grant no longer allows access to the task.
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
