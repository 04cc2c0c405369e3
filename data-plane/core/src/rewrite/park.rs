//! What a modern client is answered whose legacy server asks something in the middle of a call.

use toolgate_mcp::{message, method, text::quote};

use crate::{asking::Question, parts::Parts, plan::CallPlan};

use super::{Outcome, Reply};

/// `input_required`: this question under this key, and what to come back with.
pub fn input_required(call: &CallPlan, key: &str, question: &Question, state: &str) -> Reply {
    let server = &call.server().name.id;
    let input = question.to_input(server, b"{}");
    let (key, state) = (quote(key), quote(state));
    let meta = quote(method::META_SERVER);
    let us = call.gateway.server_info.to_json();
    let mut result = format!("{{\"resultType\":\"input_required\",\"inputRequests\":{{{key}:");
    result.push_str(&String::from_utf8_lossy(&input));
    result.push_str(&format!(
        "}},\"requestState\":{state},\"_meta\":{{{meta}:{us}}}}}"
    ));
    Reply {
        body: Parts::from(message::response(&call.id, &result)),
        status: 200,
        outcome: Outcome::InputRequired,
    }
}
