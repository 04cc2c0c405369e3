//! What a server says of a task by itself, as its client is told.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{message, object};
use toolgate_model::Era;

use crate::plan::CallPlan;

use super::{Outcome, Relay};

/// Bytes of a notice of a task. What it has come to may be more: that is left for who asks.
pub const NOTICE: usize = 64 * 1024;

/// The parameters of a notice as they are kept until they are told: on their own, and without what makes them too large;
/// none if they are too large all the same.
pub fn notice_of(params: &[u8]) -> Option<Bytes> {
    if params.len() <= NOTICE {
        // Not a part of the message, which may be much more.
        return Some(Bytes::copy_from_slice(params));
    }
    let short = |name: &str| !matches!(name, "result" | "error" | "inputRequests");
    let short = object::rebuild(params, short, &[]);
    (short.len() <= NOTICE).then(|| short.into())
}

/// The parameters of a notice, shown as the answer to `call` would be, which asks how far the task is; none if there is
/// nothing in it that the client may be told.
pub fn task_news(call: &Arc<CallPlan>, params: &[u8]) -> Option<Bytes> {
    let own = |name: &str| !matches!(name, "_meta" | "resultType");
    let result = object::rebuild(params, own, &[("resultType", b"\"complete\"")]);
    let answer = message::response("0", std::str::from_utf8(&result).ok()?);
    let reply = Relay::new(Arc::clone(call), Era::Modern, 0, None).only(&answer);
    let reply = reply.ok().filter(|reply| reply.outcome == Outcome::Done)?;
    let body = reply.body.to_bytes();
    notice_of(&object::rebuild(object::get(&body, "result")?, own, &[]))
}
