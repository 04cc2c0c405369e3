//! What a server says of a task by itself, as its client is told.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{message, object};
use toolgate_model::Era;

use crate::plan::CallPlan;

use super::{Outcome, Relay};

/// Bytes of a notice of a task. What it has come to may be more: that is left for who asks.
pub const NOTICE: usize = 64 * 1024;

/// The parameters of a notice, shown as the answer to `call` would be, which asks how far the task is; none if there is
/// nothing in it that the client may be told.
pub fn task_news(call: &Arc<CallPlan>, params: &[u8]) -> Option<Bytes> {
    let own = |name: &str| !matches!(name, "_meta" | "resultType");
    let result = object::rebuild(params, own, &[("resultType", b"\"complete\"")]);
    let answer = message::response("0", std::str::from_utf8(&result).ok()?);
    let reply = Relay::new(Arc::clone(call), Era::Modern, 0, None).only(&answer);
    let reply = reply.ok().filter(|reply| reply.outcome == Outcome::Done)?;
    let body = reply.body.to_bytes();
    let shown = object::rebuild(object::get(&body, "result")?, own, &[]);
    if shown.len() <= NOTICE {
        return Some(shown.into());
    }
    let short = |name: &str| !matches!(name, "result" | "error" | "inputRequests");
    let short = object::rebuild(&shown, short, &[]);
    (short.len() <= NOTICE).then(|| short.into())
}
