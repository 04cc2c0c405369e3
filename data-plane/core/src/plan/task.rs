//! Requests about tasks that earlier calls became. The task id is opened and access is checked again: the caller must
//! still be allowed to call the task's tool.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use toolgate_mcp::{ByteSpan, Envelope, envelope::MessageParams, method, text::quote};

use crate::{
    GatewayView, Grant, Refusal, ToolView,
    client_state::{
        StateContext,
        task::{EXTENSION, TaskId},
    },
    plan::{
        CallPlan, CallSpans, ClientProtocol, Plan, PlanInput, RequestTarget, call,
        find::{LocatedTarget, required_text},
    },
    session::session_id::ClientCapabilities,
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
    client: ClientProtocol,
) -> Option<Result<Plan, Refusal>> {
    known_method(envelope.method())?;
    if input.gateway.features.task_servers.is_empty() {
        return None;
    }
    if !client.capabilities().contains(ClientCapabilities::TASKS) {
        let required = json!({ "extensions": { EXTENSION: {} } });
        return Some(Err(Refusal::MissingCapability(required)));
    }
    let call = call::plan(input, envelope, client, None);
    Some(call.map(|call| Plan::Call(Arc::new(call))))
}

/// Returns the static name of a method of the extension, or `None` for other methods.
pub(super) fn known_method(name: &str) -> Option<&'static str> {
    let all = [
        method::TASKS_GET,
        method::TASKS_UPDATE,
        method::TASKS_CANCEL,
    ];
    all.into_iter().find(|known| *known == name)
}

/// Finds the task of the request. Unknown, foreign, forged and no longer granted tasks get the same refusal.
pub(super) fn find(
    input: &PlanInput<'_>,
    method: &'static str,
    params: &MessageParams<'_>,
) -> Result<LocatedTarget, Refusal> {
    let text = required_text(&params.task_id, "`taskId`", "task")?;
    let target = open_target(input, method, text.as_str());
    let target = target.ok_or_else(|| Refusal::InvalidParams("this task is not known".into()))?;
    Ok(LocatedTarget {
        target: RequestTarget::Task(target),
        name_span: text.span,
    })
}

fn open_target(input: &PlanInput<'_>, method: &'static str, text: &str) -> Option<TaskTarget> {
    let context = StateContext {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    };
    let id = TaskId::decrypt(input.cipher, context, text)?;
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
    owner.is_some_and(|owner| gateway.features.task_servers.contains(owner))
        && grant.allows_tool(tool)
}

/// Plans a task that the client subscribes to, as a `tasks/get` call that is never sent. Status notifications of the
/// server are rewritten like responses to that call.
pub(super) fn followed_task(
    input: &PlanInput<'_>,
    id: &str,
    client: ClientProtocol,
) -> Option<Arc<CallPlan>> {
    if !client.capabilities().contains(ClientCapabilities::TASKS) {
        return None;
    }
    let nowhere = ByteSpan::new(0, 0);
    let target = RequestTarget::Task(open_target(input, method::TASKS_GET, id)?);
    Some(Arc::new(CallPlan {
        gateway: Arc::clone(input.gateway),
        declared: call::declared(input.gateway, target.server(), client),
        target,
        client,
        id: "0".into(),
        progress: None,
        log_level: None,
        trace: None,
        continuation: None,
        returned_state: None,
        url_elicitation_result: None,
        has_stray_responses: false,
        task_cipher: None,
        spans: CallSpans {
            id: nowhere,
            params: nowhere,
            target_name: nowhere,
            arguments: None,
            run_tool_arguments: None,
            meta: None,
        },
    }))
}

impl CallPlan {
    /// Returns the plan of a subscribed task for a newer view of its gateway, in which the server's permitted requests
    /// may differ. Returns `None` if the grant no longer allows access to the task.
    pub fn at_gateway(
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
        now.target = RequestTarget::Task(TaskTarget {
            tool: Arc::clone(tool),
            ..task.clone()
        });
        now.declared = call::declared(gateway, now.target.server(), now.client);
        Some(Arc::new(now))
    }
}
