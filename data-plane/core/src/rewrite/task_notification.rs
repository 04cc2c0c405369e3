//! Status notifications of tasks, rewritten for the client.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{message, object};
use toolgate_model::Era;

use crate::plan::CallPlan;

use super::{CallOutcome, ResponseRelay};

/// Maximum size of the parameters of a task notification, in bytes. A larger result is left out; the client gets it
/// with `tasks/get`.
pub const MAX_TASK_NOTIFICATION: usize = 64 * 1024;

/// Copies the parameters of a task notification for later delivery. Parameters above the limit lose their `result`,
/// `error` and `inputRequests`. Returns `None` if they are still too large.
pub fn bounded_task_params(params: &[u8]) -> Option<Bytes> {
    if params.len() <= MAX_TASK_NOTIFICATION {
        // Copied, because a shared slice would keep the whole message alive, which may be much larger.
        return Some(Bytes::copy_from_slice(params));
    }
    let short = |name: &str| !matches!(name, "result" | "error" | "inputRequests");
    let short = object::rebuild(params, short, &[]);
    (short.len() <= MAX_TASK_NOTIFICATION).then(|| short.into())
}

/// Rewrites the parameters of a task notification like the response to `call`, a `tasks/get` request. Returns `None`
/// if nothing in them may be sent to the client.
pub fn task_notification_params(call: &Arc<CallPlan>, params: &[u8]) -> Option<Bytes> {
    let own = |name: &str| !matches!(name, "_meta" | "resultType");
    let result = object::rebuild(params, own, &[("resultType", b"\"complete\"")]);
    let answer = message::response("0", std::str::from_utf8(&result).ok()?);
    let reply =
        ResponseRelay::new(Arc::clone(call), Era::Modern, 0, None).on_single_response(&answer);
    let reply = reply
        .ok()
        .filter(|reply| reply.outcome == CallOutcome::Done)?;
    let body = reply.body.to_bytes();
    bounded_task_params(&object::rebuild(object::get(&body, "result")?, own, &[]))
}
